import GRDB
import Protocols

/// Mark and sweep.
///
/// Nodes are objects of a namespace (`ReferenceGraph`). What no root reaches loses its row in one transaction; events follow; then each backend loses
/// what no row names. Backends are swept side by side, and a slow or failing one keeps no other from it.
extension SQLiteMetadataStore {
  @discardableResult
  public func collectGarbage() async throws -> GarbageReport {
    try await collecting.closing {
      var failures = await self.settleCommits()
      let swept = try await self.sweepRows()
      for (namespace, event) in swept.events { self.publish(event, in: namespace) }
      failures += await self.sweepBackends()
      if !failures.isEmpty { throw ContainerdError.internalError("garbage collection: " + failures.sorted().joined(separator: "; ")) }
      return swept.report
    }
  }

  private func sweepBackends() async -> [String] {
    await withTaskGroup(of: [String].self) { group in
      for (name, backend) in backends {
        guard let gates = snapshotGates[name] else { continue }
        group.addTask { await SnapshotSweep(store: self, name: name, backend: backend, gates: gates).run() }
      }
      group.addTask { await ContentSweep(store: self).run() }
      return await group.reduce(into: []) { $0 += $1 }
    }
  }

  private struct Swept: Sendable {
    var report = GarbageReport()
    var events: [(String, Event)] = []
  }

  private func sweepRows() async throws -> Swept {
    let time = now()
    return try await write { db in
      var swept = Swept()
      swept.report.leases = try self.dropExpiredLeases(db, time)
      try self.dropExpiredIngests(db, time)
      let graph = try ReferenceGraph(db, at: time)
      let alive = graph.reachable()
      for node in graph.expiredImages where !alive.contains(node) {
        try db.execute(sql: "DELETE FROM image WHERE namespace = ? AND name = ?", arguments: [node.namespace, node.id])
        swept.events.append((node.namespace, .imageDelete(name: node.id)))
      }
      for node in graph.content where !alive.contains(node) {
        try db.execute(sql: "DELETE FROM content WHERE namespace = ? AND digest = ?", arguments: [node.namespace, node.id])
        try db.removeFromLeases(node.namespace, type: node.type, id: node.id)
        swept.report.content += 1
        swept.events.append((node.namespace, .contentDelete(digest: try Digest(parsing: node.id))))
      }
      for node in graph.snapshots where !alive.contains(node) {
        let snapshotter = String(node.type.dropFirst("snapshots/".count))
        try db.execute(
          sql: "DELETE FROM snapshot WHERE namespace = ? AND snapshotter = ? AND key = ?", arguments: [node.namespace, snapshotter, node.id])
        try db.removeFromLeases(node.namespace, type: node.type, id: node.id)
        swept.report.snapshots += 1
        swept.events.append((node.namespace, .snapshotRemove(key: node.id, snapshotter: snapshotter)))
      }
      return swept
    }
  }

  private func dropExpiredLeases(_ db: Database, _ time: Timestamp) throws -> Int {
    var count = 0
    for row in try Row.fetchAll(db, sql: "SELECT namespace, id, labels FROM lease") where Expiry.isPast(try Codec.labels(row["labels"]), at: time) {
      try db.execute(sql: "DELETE FROM lease WHERE namespace = ? AND id = ?", arguments: [row["namespace"] as String, row["id"] as String])
      count += 1
    }
    return count
  }

  /// An ingest lives until its hour, or as long as a lease holds it.
  private func dropExpiredIngests(_ db: Database, _ time: Timestamp) throws {
    let unheld = """
      SELECT namespace, ref, expires FROM ingest WHERE NOT EXISTS (
        SELECT 1 FROM leaseResource r WHERE r.namespace = ingest.namespace AND r.type = 'ingests' AND r.id = ingest.ref)
      """
    for row in try Row.fetchAll(db, sql: unheld) where Codec.time(row["expires"]) < time {
      try db.execute(sql: "DELETE FROM ingest WHERE namespace = ? AND ref = ?", arguments: [row["namespace"] as String, row["ref"] as String])
    }
  }
}

enum Expiry {
  static let label = "containerd.io/gc.expire"
  /// A text that is no time is no expiry: better to keep too much.
  static func isPast(_ labels: Labels, at time: Timestamp) -> Bool {
    labels[label].flatMap { Timestamp(rfc3339: $0) }.map { $0 < time } ?? false
  }
}
