import GRDB
import Protocols

/// One namespace's view of a snapshotter: its own keys and labels over the backend's numbered ones.
struct NamespacedSnapshotter: Snapshotter {
  let store: SQLiteMetadataStore
  let scope: Scope
  let name: String
  let backend: any Snapshotter
  let gates: SnapshotGates

  struct Entry: Sendable {
    var backendKey: String
    var info: SnapshotInfo
  }

  func stat(_ key: String) async throws -> SnapshotInfo { try await store.read { try entry($0, key).info } }

  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    try fields.validate(object: "snapshot \(info.name)")
    let (updated, before) = try await store.write { db -> (Entry, Labels) in
      var stored = try entry(db, info.name)
      let before = stored.info.labels
      stored.info.labels = fields.updatedLabels(of: stored.info.labels, from: info.labels)
      try stored.info.labels.validateLabels()
      stored.info.updatedAt = store.now()
      try db.execute(
        sql: "UPDATE snapshot SET labels = ?, updated = ? WHERE namespace = ? AND snapshotter = ? AND key = ?",
        arguments: [Codec.encode(stored.info.labels), stored.info.updatedAt.description, scope.namespace, name, info.name])
      return (stored, before)
    }
    // Most labels are none of the backend's business.
    if inherited(before) != inherited(updated.info.labels) {
      try await renamed(updated.backendKey, info.name) {
        _ = try await backend.update(
          SnapshotInfo(kind: updated.info.kind, name: updated.backendKey, labels: inherited(updated.info.labels)), fields: ["labels"])
      }
    }
    return updated.info
  }

  func usage(_ key: String) async throws -> SnapshotUsage { try await asking(key) { try await backend.usage($0) } }

  func mounts(_ key: String) async throws -> [Mount] { try await asking(key) { try await backend.mounts($0) } }

  private func asking<Answer: Sendable>(_ key: String, _ call: (_ backendKey: String) async throws -> Answer) async throws -> Answer {
    let entry = try await lookup(key)
    do {
      return try await renamed(entry.backendKey, key) { try await call(entry.backendKey) }
    } catch let error as ContainerdError where error.code == .notFound {
      // A commit that is under way has given it its new name there, and not yet here: it comes first.
      let now = try await gates.committing.passing { try await lookup(key) }
      if now.backendKey == entry.backendKey { throw error }
      return try await renamed(now.backendKey, key) { try await call(now.backendKey) }
    }
  }

  /// Only the name goes; the files follow with the next collection.
  func remove(_ key: String) async throws {
    try await store.write { db in
      _ = try entry(db, key)
      if try Row.fetchOne(
        db, sql: "SELECT 1 FROM snapshot WHERE namespace = ? AND snapshotter = ? AND parent = ? LIMIT 1", arguments: [scope.namespace, name, key])
        != nil
      {
        throw ContainerdError.failedPrecondition("cannot remove snapshot \(key): it has children")
      }
      try db.execute(sql: "DELETE FROM snapshot WHERE namespace = ? AND snapshotter = ? AND key = ?", arguments: [scope.namespace, name, key])
      try db.removeFromLeases(scope.namespace, type: leaseType, id: key)
    }
    store.publish(.snapshotRemove(key: key, snapshotter: name), in: scope.namespace)
  }

  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    let infos = try await store.read { db in
      try Row.fetchAll(db, sql: "SELECT * FROM snapshot WHERE namespace = ? AND snapshotter = ? ORDER BY key", arguments: [scope.namespace, name])
        .map { try Self.entry($0).info }
    }
    for info in infos where filters.matches(info) { try await visit(info) }
  }

  func cleanup() async throws { try await backend.cleanup() }

  /// The backend outlives every view of it.
  func close() async throws {}

  /// Labels meant for the backend.
  func inherited(_ labels: Labels) -> Labels {
    labels.filter { $0.key.hasPrefix("containerd.io/snapshot/") || $0.key == Self.reference }
  }

  var leaseType: String { "snapshots/\(name)" }

  // MARK: rows

  func lookup(_ key: String) async throws -> Entry { try await store.read { try entry($0, key) } }

  func row(_ db: Database, _ key: String) throws -> Row? {
    try Row.fetchOne(db, sql: "SELECT * FROM snapshot WHERE namespace = ? AND snapshotter = ? AND key = ?", arguments: [scope.namespace, name, key])
  }

  func entry(_ db: Database, _ key: String) throws -> Entry {
    guard let row = try row(db, key) else { throw ContainerdError.notFound("snapshot \(key)") }
    return try Self.entry(row)
  }

  static func entry(_ row: Row) throws -> Entry {
    let kindText: String = row["kind"]
    let parent: String = row["parent"]
    guard let kind = SnapshotInfo.Kind(rawValue: kindText) else { throw ContainerdError(.dataLoss, "snapshot kind \"\(kindText)\" in the metadata") }
    return Entry(
      backendKey: row["backendKey"],
      info: SnapshotInfo(
        kind: kind, name: row["key"], parent: parent.isEmpty ? nil : parent,
        labels: try Codec.labels(row["labels"]), createdAt: Codec.time(row["created"]), updatedAt: Codec.time(row["updated"])))
  }
}
