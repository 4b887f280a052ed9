import Protocols

/// What can be asked of a snapshotter, as a value.
package enum SnapshotOperation: Hashable, Sendable, CustomStringConvertible {
  case prepare(String, parent: String?, Labels)
  case view(String, parent: String?, Labels)
  case commit(String, key: String, Labels)
  case remove(String)
  case stat(String)
  case update(String, Labels, mask: [String])
  case walk([String])
  case mounts(String)
  case usage(String)
  case cleanup
  /// Mounts and changes files.
  case change(String, [FileChange])
  /// Mounts and reads all there is.
  case look(String)

  package var description: String {
    switch self {
    case .prepare(let key, let parent, let labels): "prepare \"\(key)\" on \(Self.named(parent))\(Self.with(labels))"
    case .view(let key, let parent, let labels): "view \"\(key)\" of \(Self.named(parent))\(Self.with(labels))"
    case .commit(let name, let key, let labels): "commit \"\(key)\" as \"\(name)\"\(Self.with(labels))"
    case .remove(let key): "remove \"\(key)\""
    case .stat(let key): "stat \"\(key)\""
    case .update(let key, let labels, let mask): "update \"\(key)\" to \(described(labels)), mask \(mask.isEmpty ? "empty" : mask.joined(separator: ","))"
    case .walk(let filters): filters.isEmpty ? "walk" : "walk \(filters.joined(separator: " or "))"
    case .mounts(let key): "mounts of \"\(key)\""
    case .usage(let key): "usage of \"\(key)\""
    case .cleanup: "cleanup"
    case .change(let key, let changes): "in \"\(key)\": \(changes.map(\.description).joined(separator: ", "))"
    case .look(let key): "look into \"\(key)\""
    }
  }

  private static func named(_ parent: String?) -> String { parent.map { "\"\($0)\"" } ?? "nothing" }
  private static func with(_ labels: Labels) -> String { labels.isEmpty ? "" : " with \(described(labels))" }

  /// The word for it: what findings of one kind have in common.
  package var verb: String {
    switch self {
    case .prepare: "prepare"
    case .view: "view"
    case .commit: "commit"
    case .remove: "remove"
    case .stat: "stat"
    case .update: "update"
    case .walk: "walk"
    case .mounts: "mounts"
    case .usage: "usage"
    case .cleanup: "cleanup"
    case .change: "change"
    case .look: "look"
    }
  }

  /// The same with containerd's command line, for `$SNAPSHOTTER`; empty where it cannot.
  package var command: String {
    let ctr = "ctr --address \"$SOCKET\" snapshots --snapshotter \"$SNAPSHOTTER\""
    switch self {
    case .prepare(let key, let parent, let labels): return "\(ctr) prepare \(key)\(parent.map { " \($0)" } ?? "")\(Self.comment(labels))"
    case .view(let key, let parent, let labels): return "\(ctr) view \(key)\(parent.map { " \($0)" } ?? "")\(Self.comment(labels))"
    case .commit(let name, let key, let labels): return "\(ctr) commit \(name) \(key)\(Self.comment(labels))"
    case .remove(let key): return "\(ctr) rm \(key)"
    case .stat(let key): return "\(ctr) info \(key)"
    case .update(let key, let labels, _):
      return "\(ctr) label \(key) \(labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " "))"
    case .walk: return "\(ctr) ls"
    case .mounts(let key): return "\(ctr) mounts \"$MNT\" \(key)"
    case .usage(let key): return "\(ctr) usage \(key)"
    case .cleanup: return ""
    case .change(let key, let changes):
      return "eval \"$(\(ctr) mounts \"$MNT\" \(key))\" && (cd \"$MNT\" && \(changes.map(\.command).joined(separator: " && "))); umount \"$MNT\""
    case .look(let key): return "eval \"$(\(ctr) mounts \"$MNT\" \(key))\" && find \"$MNT\" -ls; umount \"$MNT\""
    }
  }

  private static func comment(_ labels: Labels) -> String { labels.isEmpty ? "" : "  # labels \(described(labels))" }

  /// The keys that the operation is about: operations that share none, directly or through others, cannot tell of each other.
  package var keys: [String] {
    switch self {
    case .prepare(let key, let parent, _), .view(let key, let parent, _): [key] + [parent].compactMap { $0 }
    case .commit(let name, let key, _): [name, key]
    case .remove(let key), .stat(let key), .update(let key, _, _), .mounts(let key), .usage(let key), .change(let key, _), .look(let key): [key]
    case .walk, .cleanup: []
    }
  }
}

/// What a snapshotter answers, as far as it can be foretold.
package enum SnapshotAnswer: Hashable, Sendable, CustomStringConvertible {
  case done
  case info(SnapshotFacts)
  case infos(Set<SnapshotFacts>)
  case mounts(writable: Bool)
  case files(FileTree)

  package var description: String {
    switch self {
    case .done: "ok"
    case .info(let facts): facts.description
    case .infos(let all): all.isEmpty ? "no snapshot" : all.map(\.description).sorted().joined(separator: "; ")
    case .mounts(let writable): writable ? "writable mounts" : "read-only mounts"
    case .files(let tree): tree.description
    }
  }
}

/// A snapshot's information without its times.
package struct SnapshotFacts: Hashable, Sendable, CustomStringConvertible {
  package var kind: SnapshotInfo.Kind
  package var name: String
  package var parent: String?
  package var labels: Labels

  package init(kind: SnapshotInfo.Kind, name: String, parent: String?, labels: Labels) {
    self.kind = kind
    self.name = name
    self.parent = parent
    self.labels = labels
  }
  package init(_ info: SnapshotInfo) {
    self.init(kind: info.kind, name: info.name, parent: info.parent == "" ? nil : info.parent, labels: info.labels)
  }

  package var description: String {
    "\"\(name)\" \(kind.rawValue.lowercased())\(parent.map { ", parent \"\($0)\"" } ?? ", no parent")\(labels.isEmpty ? "" : ", labels \(described(labels))")"
  }
  package var info: SnapshotInfo { SnapshotInfo(kind: kind, name: name, parent: parent, labels: labels) }
}
