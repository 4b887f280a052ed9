import ConformanceSuites

/// Which cases of a catalogue are meant.
///
/// A term is `level:MUST`, `group:hooks`, `tag:core`, `statement:SNAP-05`, `thread:containerd#7834`, `subject:Content`, `kills:M001` — or an id or glob.
/// Terms joined by `+` must all hold; of several selections one is enough.
public struct Selection: Sendable, CustomStringConvertible {
  public var only: [String]
  public var without: [String]
  /// Which part of how many: every n-th case, so that chapters are spread.
  public var shard: (index: Int, of: Int)

  public init(only: [String] = [], without: [String] = [], shard: (index: Int, of: Int) = (1, 1)) throws {
    self.only = only
    self.without = without
    self.shard = shard
    if shard.of < 1 || !(1...shard.of).contains(shard.index) {
      throw SuiteError("shard \(shard.index)/\(shard.of): a shard is I/N with I from 1 to N")
    }
    for expression in only + without { for term in expression.split(separator: "+") { try Self.check(String(term)) } }
  }

  /// The description of a selection that leaves nothing out.
  public static let everything = "everything"

  public var description: String {
    (only.isEmpty ? [Self.everything] : only).joined(separator: " or ") + (without.isEmpty ? "" : " without " + without.joined(separator: " and "))
      + (shard.of == 1 ? "" : ", shard \(shard.index)/\(shard.of)")
  }

  /// - Parameter cases: the whole catalogue: an expression that holds of none of it is a mistake in writing, and thrown as such.
  public func choose(from cases: [AnyCase]) throws -> [AnyCase] {
    for expression in only + without where !cases.contains(where: { Self.holds(expression, of: $0.info) }) {
      throw SuiteError("\(expression): no case is meant by that; `containerd-conformance list` shows what there is")
    }
    let chosen = cases.filter { contract in
      (only.isEmpty || only.contains { Self.holds($0, of: contract.info) }) && !without.contains { Self.holds($0, of: contract.info) }
    }
    return chosen.enumerated().filter { $0.offset % shard.of == shard.index - 1 }.map(\.element)
  }

  static func holds(_ expression: String, of info: CaseInfo) -> Bool {
    expression.split(separator: "+").allSatisfy { term in
      let parts = term.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { return Glob(String(term)).matches(info.id) }
      let value = String(parts[1])
      switch parts[0] {
      case "level": return info.level.rawValue == value.uppercased()
      case "group": return Glob(value).matches(info.group.rawValue)
      case "tag": return info.tags.contains(value)
      case "statement": return info.statements.contains { Glob(value).matches($0) }
      case "thread": return info.threads.contains { $0 == value || $0.hasSuffix("/" + value) }
      case "subject": return info.subject.lowercased() == value.lowercased()
      default: return false
      }
    }
  }

  private static func check(_ term: String) throws {
    let parts = term.split(separator: ":", maxSplits: 1)
    guard parts.count == 2 else { return }
    let known = ["level", "group", "tag", "statement", "thread", "subject"]
    if !known.contains(String(parts[0])) {
      throw SuiteError("\(term): cases are selected by an id, a glob, or one of \(known.map { $0 + ":" }.joined(separator: " "))")
    }
    if parts[0] == "group", !CaseGroup.allCases.contains(where: { Glob(String(parts[1])).matches($0.rawValue) }) {
      throw SuiteError("\(term): the groups are \(CaseGroup.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    if parts[0] == "tag", !CaseInfo.allTags.contains(String(parts[1])) { throw SuiteError("\(term): the tags are \(CaseInfo.allTags.joined(separator: ", "))") }
  }
}

extension CaseInfo {
  public static let allTags = ["core", "unprivileged", "model", "files"]

  /// - `core`: what every snapshotter, content store or runtime must keep, whatever it is built on.
  /// - `unprivileged`: needs neither root nor programs.
  /// - `model`: generated, from the seed.
  /// - `files`: performs mounts and works in them.
  public var tags: [String] {
    var tags: [String] = []
    let chapters: Set<CaseGroup> = [.snapshotMetadata, .usage, .mounts, .content, .lifecycle]
    if level == .must && needs.allSatisfy({ $0 == "files" }) && chapters.contains(group) { tags.append("core") }
    if needs.isEmpty && !["OCIRuntime", "Shim", "Mount", "Restart"].contains(subject) { tags.append("unprivileged") }
    if id.contains(".model.") { tags.append("model") }
    if needs.contains("files") { tags.append("files") }
    return tags
  }
}
