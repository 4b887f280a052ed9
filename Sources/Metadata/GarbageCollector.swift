import GRDB
import Protocols

/// Mark and sweep, with the gate closed.
///
/// Nodes are objects of a namespace. Roots: live leases, images, containers, and content or snapshots with `containerd.io/gc.root`. What is
/// not reached loses its row in one transaction; then each backend loses what no row names, children before parents.
extension SQLiteMetadataStore {
  @discardableResult
  public func collectGarbage() async throws -> GarbageReport {
    try await gate.closing {
      let swept = try await self.sweepRows()
      for (namespace, event) in swept.events { self.publish(event, in: namespace) }
      var failures: [String] = []
      for (name, backend) in self.backends {
        do { try await self.sweepSnapshots(name, backend) } catch { failures.append("snapshotter \(name): \(error)") }
      }
      do { try await self.sweepContent() } catch { failures.append("content: \(error)") }
      if !failures.isEmpty { throw ContainerdError.internalError("garbage collection: " + failures.joined(separator: "; ")) }
      return swept.report
    }
  }

  private struct Sweep: Sendable {
    var report = GarbageReport()
    var events: [(String, Event)] = []
  }

  private func sweepRows() async throws -> Sweep {
    let time = now()
    return try await write { db in
      var sweep = Sweep()
      for row in try Row.fetchAll(db, sql: "SELECT namespace, id, labels FROM lease") {
        guard let text = try Codec.labels(row["labels"])["containerd.io/gc.expire"], let expiry = Timestamp(rfc3339: text), expiry < time else { continue }
        let namespace: String = row["namespace"]
        let id: String = row["id"]
        try db.execute(sql: "DELETE FROM lease WHERE namespace = ? AND id = ?", arguments: [namespace, id])
        sweep.report.leases += 1
      }
      for row in try Row.fetchAll(db, sql: "SELECT namespace, name, labels FROM image") {
        guard let text = try Codec.labels(row["labels"])["containerd.io/gc.expire"], let expiry = Timestamp(rfc3339: text), expiry < time else { continue }
        let namespace: String = row["namespace"]
        let name: String = row["name"]
        try db.execute(sql: "DELETE FROM image WHERE namespace = ? AND name = ?", arguments: [namespace, name])
        sweep.events.append((namespace, .imageDelete(name: name)))
      }
      try db.execute(
        sql: """
          DELETE FROM ingest WHERE expires < ? AND NOT EXISTS (
            SELECT 1 FROM leaseResource r WHERE r.namespace = ingest.namespace AND r.type = 'ingests' AND r.id = ingest.ref)
          """, arguments: [time.description])
      let graph = try ReferenceGraph(db)
      let alive = graph.reachable()
      for node in graph.content where !alive.contains(node) {
        try db.execute(sql: "DELETE FROM content WHERE namespace = ? AND digest = ?", arguments: [node.namespace, node.id])
        try db.execute(sql: "DELETE FROM leaseResource WHERE namespace = ? AND type = 'content' AND id = ?", arguments: [node.namespace, node.id])
        sweep.report.content += 1
        sweep.events.append((node.namespace, .contentDelete(digest: try Digest(parsing: node.id))))
      }
      for node in graph.snapshots where !alive.contains(node) {
        let snapshotter = String(node.type.dropFirst("snapshots/".count))
        try db.execute(
          sql: "DELETE FROM snapshot WHERE namespace = ? AND snapshotter = ? AND key = ?", arguments: [node.namespace, snapshotter, node.id])
        sweep.report.snapshots += 1
        sweep.events.append((node.namespace, .snapshotRemove(key: node.id, snapshotter: snapshotter)))
      }
      return sweep
    }
  }

  /// Leaves first; one that cannot go now (busy, or a child that failed) does not keep the others.
  private func sweepSnapshots(_ name: String, _ backend: any Snapshotter) async throws {
    let known = try await read { Set(try String.fetchAll($0, sql: "SELECT backendKey FROM snapshot WHERE snapshotter = ?", arguments: [name])) }
    let walked = Walked<SnapshotInfo>()
    try await backend.walk(.all) { await walked.append($0) }
    let infos = await walked.items
    var children: [String: Int] = [:]
    for info in infos { if let parent = info.parent { children[parent, default: 0] += 1 } }
    let byName = Dictionary(infos.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var leaves = infos.filter { children[$0.name, default: 0] == 0 && !known.contains($0.name) }
    var failure: (any Error)?
    while let leaf = leaves.popLast() {
      do { try await backend.remove(leaf.name) } catch {
        failure = error
        continue
      }
      if let parent = leaf.parent {
        children[parent, default: 1] -= 1
        if children[parent] == 0, !known.contains(parent), let next = byName[parent] { leaves.append(next) }
      }
    }
    try await backend.cleanup()
    if let failure { throw failure }
  }

  private func sweepContent() async throws {
    let (digests, refs) = try await read { db in
      (Set(try String.fetchAll(db, sql: "SELECT DISTINCT digest FROM content")), Set(try String.fetchAll(db, sql: "SELECT backendRef FROM ingest")))
    }
    let walked = Walked<ContentInfo>()
    try await backendContent.walk(.all) { await walked.append($0) }
    for info in await walked.items where !digests.contains(info.digest.description) { try await backendContent.delete(info.digest) }
    for status in try await backendContent.statuses(.all) where !refs.contains(status.ref) { try await backendContent.abort(ref: status.ref) }
  }
}

private actor Walked<Item: Sendable> {
  private(set) var items: [Item] = []
  func append(_ item: Item) { items.append(item) }
}
