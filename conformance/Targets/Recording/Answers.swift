import Protocols
import Synchronization

/// What backends answer, in words by which two of them can be compared: mounts and amounts by the order in which they were first seen, times by how they went on.
///
/// The scripts of `repro` say the same in the same words: `ReproPrelude`.
final class Answers: Sendable {
  private struct Seen {
    var mounts: [[Mount]] = []
    var usages: [SnapshotUsage] = []
    var times: [String: (created: Timestamp, updated: Timestamp)] = [:]
  }
  private let seen = Mutex(Seen())

  static let named: Set<ContainerdError.Code> = [
    .notFound, .alreadyExists, .failedPrecondition, .invalidArgument, .notImplemented, .unavailable, .outOfRange,
  ]

  static func refusal(_ error: any Error) -> String {
    guard let error = error as? ContainerdError, named.contains(error.code) else { return "another error" }
    return error.code.rawValue
  }

  /// The number under which the mounts are known, from 1.
  func number(_ mounts: [Mount]) -> Int {
    seen.withLock {
      if let index = $0.mounts.firstIndex(of: mounts) { return index + 1 }
      $0.mounts.append(mounts)
      return $0.mounts.count
    }
  }

  func of(_ mounts: [Mount]) -> String {
    let number = number(mounts)
    guard let root = mounts.last, mounts.allSatisfy({ !$0.type.isEmpty && !$0.source.isEmpty && !$0.options.contains("") }) else {
      return "mounts \(number) malformed"
    }
    let readOnly = root.isReadOnly || (root.type == "overlay" && !root.options.contains { $0.hasPrefix("upperdir=") })
    return "mounts \(number) \(readOnly ? "ro" : "rw")"
  }

  func of(_ usage: SnapshotUsage) -> String {
    let number = seen.withLock {
      if let index = $0.usages.firstIndex(of: usage) { return index + 1 }
      $0.usages.append(usage)
      return $0.usages.count
    }
    return "usage \(usage.inodes) \(usage.size) \(number)"
  }

  func of(_ info: SnapshotInfo) -> String {
    "\(Self.facts(info)), \(times("snapshot " + info.name, info.createdAt, info.updatedAt))"
  }
  func of(_ info: ContentInfo) -> String {
    "\(Self.facts(info)), \(times("blob \(info.digest)", info.createdAt, info.updatedAt))"
  }
  /// What was under the name is gone: another may come.
  func forget(snapshot name: String) { seen.withLock { $0.times["snapshot " + name] = nil } }
  func forget(blob digest: Digest) { seen.withLock { $0.times["blob \(digest)"] = nil } }

  private func times(_ name: String, _ created: Timestamp, _ updated: Timestamp) -> String {
    let before = seen.withLock {
      let before = $0.times[name]
      $0.times[name] = (created, updated)
      return before
    }
    guard let before else { return "times \(created.seconds > 0 && updated >= created ? "set" : "unset")" }
    let later = updated == before.updated ? "kept" : updated > before.updated ? "later" : "earlier"
    return "created \(created == before.created ? "kept" : "changed"), updated \(later)"
  }

  static func facts(_ info: SnapshotInfo) -> String {
    "\(info.kind.rawValue.lowercased()) \"\(info.name)\" on \"\(info.parent ?? "")\"\(labels(info.labels))"
  }
  static func facts(_ info: ContentInfo) -> String { "\(info.digest) \(info.size)\(labels(info.labels))" }

  /// `ctr` adds the label that keeps its snapshots from being collected: it is left out everywhere.
  private static func labels(_ labels: Labels) -> String {
    let shown = labels.filter { $0.key != "containerd.io/gc.root" }.map { "\($0.key)=\($0.value)" }.sorted()
    return shown.isEmpty ? "" : " with " + shown.joined(separator: " ")
  }

  static func list(_ facts: [String]) -> String { facts.isEmpty ? "nothing" : facts.sorted().joined(separator: "; ") }
}
