/// Labels: free text by key. Key and value together are at most 4096 bytes of UTF-8; a key is not empty.
public typealias Labels = [String: String]

extension Labels {
  public static let maximumLength = 4096

  /// Throws `invalidArgument` naming the key that breaks the limit.
  public func validateLabels() throws(ContainerdError) {
    for (key, value) in self {
      if key.isEmpty { throw .invalidArgument("label with an empty key") }
      if key.utf8.count + value.utf8.count > Self.maximumLength {
        throw .invalidArgument(
          "label \"\(key.prefix(64))\": key and value are \(key.utf8.count + value.utf8.count) bytes, more than \(Self.maximumLength)")
      }
    }
  }
}

/// Which fields an update may change: containerd's field masks.
///
/// An empty mask means every mutable field. `labels` replaces all labels; `labels.KEY` sets one, and an empty value removes it.
/// Any path that the object does not allow is `invalidArgument`, and nothing is changed.
public struct FieldMask: Hashable, Sendable, ExpressibleByArrayLiteral {
  public var paths: [String]

  public init(_ paths: [String] = []) { self.paths = paths }
  public init(arrayLiteral elements: String...) { self.paths = elements }

  public static let all = FieldMask()
  public var isEmpty: Bool { paths.isEmpty }

  /// Applies the label part of the mask. `paths` other than `labels`/`labels.KEY` are left to the caller through `otherPaths`.
  public func updatedLabels(of current: Labels, from new: Labels, field: String = "labels") -> Labels {
    if isEmpty || paths.contains(field) { return new.filter { !$0.value.isEmpty } }
    var result = current
    for path in paths where path.hasPrefix(field + ".") {
      let key = String(path.dropFirst(field.count + 1))
      if let value = new[key], !value.isEmpty { result[key] = value } else { result[key] = nil }
    }
    return result
  }

  /// Throws `invalidArgument` for the first path that is neither in `fields` nor below one of `maps`.
  public func validate(fields: Set<String> = [], maps: Set<String> = ["labels"], object: String) throws(ContainerdError) {
    for path in paths {
      if fields.contains(path) || maps.contains(path) { continue }
      if maps.contains(where: { path.hasPrefix($0 + ".") && path.count > $0.count + 1 }) { continue }
      throw .invalidArgument("cannot update field \"\(path)\" of \(object)")
    }
  }
}
