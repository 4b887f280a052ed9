/// containerd's filter expressions (containerd, package filters).
///
/// A set is true when any of its filters is; an empty set, or an empty filter, matches everything. A filter is a comma-separated
/// conjunction of `path`, `path==value`, `path!=value`, `path~=regex`. Path parts and values may be quoted: `labels."a.b"=="x y"`.
public struct FilterSet: Sendable {
  public static let all = FilterSet()
  /// The filters as they were written, for whoever hands them on.
  public let texts: [String]
  let filters: [Filter]

  private init() {
    texts = []
    filters = []
  }

  /// `invalidArgument` names the filter and the place where it stops making sense.
  public init(parsing texts: [String]) throws(ContainerdError) {
    var filters: [Filter] = []
    for text in texts { filters.append(try FilterParser.parse(text)) }
    self.texts = texts
    self.filters = filters
  }

  public func matches(_ object: some Filterable) -> Bool {
    filters.isEmpty || filters.contains { $0.matches(object) }
  }
}

/// What filters can ask about.
public protocol Filterable {
  /// The value at a path such as `["labels", "a.b"]`; nil if the object has none there.
  func filterValue(_ path: [String]) -> String?
}

struct Filter: Sendable {
  enum Comparison: Sendable {
    case present
    case equal(String)
    case notEqual(String)
    case matches(String)
  }
  struct Term: Sendable {
    var path: [String]
    var comparison: Comparison
  }
  var terms: [Term]

  func matches(_ object: some Filterable) -> Bool {
    terms.allSatisfy { term in
      let value = object.filterValue(term.path)
      switch term.comparison {
      case .present: return value != nil && value != ""
      case .equal(let wanted): return value == wanted
      case .notEqual(let unwanted): return value != unwanted
      case .matches(let pattern):
        guard let value, let regex = try? Regex(pattern) else { return false }
        return value.contains(regex)
      }
    }
  }
}

/// Labels below `labels.`: the rest of the path, joined, is the key.
public func filterLabel(_ labels: Labels, _ path: ArraySlice<String>) -> String? {
  path.isEmpty ? nil : labels[path.joined(separator: ".")]
}

extension ContentInfo: Filterable {
  public func filterValue(_ path: [String]) -> String? {
    switch path.first {
    case "digest" where path.count == 1: digest.description
    case "size" where path.count == 1: String(size)
    case "labels": filterLabel(labels, path.dropFirst())
    default: nil
    }
  }
}
extension IngestStatus: Filterable {
  public func filterValue(_ path: [String]) -> String? { path == ["ref"] ? ref : nil }
}
extension SnapshotInfo: Filterable {
  public func filterValue(_ path: [String]) -> String? {
    switch path.first {
    case "kind" where path.count == 1: kind.rawValue.lowercased()
    case "name" where path.count == 1: name
    case "parent" where path.count == 1: parent ?? ""
    case "labels": filterLabel(labels, path.dropFirst())
    default: nil
    }
  }
}
extension ImageRecord: Filterable {
  public func filterValue(_ path: [String]) -> String? {
    switch path.first {
    case "name" where path.count == 1: name
    case "target" where path == ["target", "digest"]: target.digest.description
    case "target" where path == ["target", "mediatype"]: target.mediaType
    case "labels": filterLabel(labels, path.dropFirst())
    case "annotations": filterLabel(target.annotations, path.dropFirst())
    default: nil
    }
  }
}
extension ContainerRecord: Filterable {
  public func filterValue(_ path: [String]) -> String? {
    switch path.first {
    case "id" where path.count == 1: id
    case "runtime" where path == ["runtime", "name"]: runtime
    case "image" where path.count == 1: image
    case "labels": filterLabel(labels, path.dropFirst())
    default: nil
    }
  }
}
extension LeaseRecord: Filterable {
  public func filterValue(_ path: [String]) -> String? {
    switch path.first {
    case "id" where path.count == 1: id
    case "labels": filterLabel(labels, path.dropFirst())
    default: nil
    }
  }
}
