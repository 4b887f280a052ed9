import GRDB
import Protocols
import SystemKit

/// Removes what a snapshotter has and no row names.
struct SnapshotSweep: Sendable {
  let store: SQLiteMetadataStore
  let name: String
  let backend: any Snapshotter
  let gates: SnapshotGates

  /// What went wrong; never throws, so that the other backends have their turn.
  func run() async -> [String] {
    var failures: [String] = []
    do {
      for (key, error) in try await removeAll(try await doomed()) { failures.append("snapshotter \(name): \(key): \(error)") }
    } catch { failures.append("snapshotter \(name): \(error)") }
    do { try await backend.cleanup() } catch { failures.append("snapshotter \(name): cleanup: \(error)") }
    return failures
  }

  /// With the gate closed nobody is between a backend's snapshot and its row. Most removals need no gate: backend keys are numbered and never come
  /// back, so what is doomed now is doomed for good. But what has a `containerd.io/snapshot.ref` can be named again.
  private func doomed() async throws -> (infos: [SnapshotInfo], doomed: Set<String>) {
    try await gates.making.closing {
      let known = try await store.read { [name] db in
        Set(try String.fetchAll(db, sql: "SELECT backendKey FROM snapshot WHERE snapshotter = ?", arguments: [name]))
      }
      let walked = Walked<SnapshotInfo>()
      try await backend.walk(.all) { await walked.append($0) }
      let infos = await walked.items
      return (infos, Set(infos.map(\.name)).subtracting(known))
    }
  }

  /// Leaves first; one that cannot go now keeps its ancestors, and nobody else.
  private func removeAll(_ found: (infos: [SnapshotInfo], doomed: Set<String>)) async throws -> [(String, any Error)] {
    var children: [String: Int] = [:]
    for info in found.infos { if let parent = info.parent { children[parent, default: 0] += 1 } }
    let parents = Dictionary(found.infos.map { ($0.name, $0.parent) }, uniquingKeysWith: { first, _ in first })
    let linkable = Set(found.infos.filter { $0.kind == .committed && NamespacedSnapshotter.target($0.labels) != nil }.map(\.name))
    var leaves = found.doomed.filter { children[$0, default: 0] == 0 }.sorted()
    var failures: [(String, any Error)] = []
    while let leaf = leaves.popLast() {
      CrashPoint.pass("collect.snapshot")
      do {
        if linkable.contains(leaf) {
          if try await !removeUnlessNamed(leaf) { continue }
        } else {
          try await backend.remove(leaf)
        }
      } catch let error as ContainerdError where error.code == .notFound {
        // Gone by itself: a failed creation cleans up after itself too.
      } catch {
        failures.append((leaf, error))
        continue
      }
      guard let parent = parents[leaf] ?? nil else { continue }
      children[parent, default: 1] -= 1
      if children[parent] == 0, found.doomed.contains(parent) { leaves.append(parent) }
    }
    return failures
  }

  /// False if somebody has named it since it was doomed.
  private func removeUnlessNamed(_ key: String) async throws -> Bool {
    try await gates.linking.closing {
      let named = try await store.read { [name] db in
        try Int.fetchOne(db, sql: "SELECT 1 FROM snapshot WHERE snapshotter = ? AND backendKey = ? LIMIT 1", arguments: [name, key]) != nil
      }
      if named { return false }
      try await backend.remove(key)
      return true
    }
  }
}

extension SQLiteMetadataStore {
  /// Ends the commits that a crash, or a backend that gave no clear answer, left between the backend's half and ours. A collection does it too; who
  /// serves the store does it before: until then a key may be listed whose snapshot has its new name already.
  /// - Returns: what could not be asked, and why.
  public func settleCommits() async -> [String] {
    var failures: [String] = []
    for (name, backend) in backends.sorted(by: { $0.key < $1.key }) {
      guard let gates = snapshotGates[name] else { continue }
      do {
        if try await read({ try SnapshotIntent.all($0, snapshotter: name) }).isEmpty { continue }
        // Alone, there are no commits under way: what intentions there are now are left over.
        try await gates.making.closing {
          for intent in try await self.read({ try SnapshotIntent.all($0, snapshotter: name) }) { try await self.settle(intent, backend) }
        }
      } catch { failures.append("snapshotter \(name): interrupted commit: \(error)") }
    }
    return failures
  }

  /// Asks the backend whether the commit has happened, and finishes or forgets it.
  func settle(_ intent: SnapshotIntent, _ backend: any Snapshotter) async throws {
    let committed: Bool
    do {
      _ = try await backend.stat(intent.backendName)
      committed = true
    } catch let error as ContainerdError where error.code == .notFound { committed = false }
    let finished = try await write { db in
      if committed { return try SnapshotIntent.finish(db, intent, at: self.now()) }
      try intent.forget(db)
      return false
    }
    if finished { publish(.snapshotCommit(key: intent.key, name: intent.name, snapshotter: intent.snapshotter), in: intent.namespace) }
  }
}

actor Walked<Item: Sendable> {
  private(set) var items: [Item] = []
  func append(_ item: Item) { items.append(item) }
}
