import GRDB
import Protocols

/// One namespace's view of a snapshotter: its own keys and labels over the backend's numbered ones.
struct NamespacedSnapshotter: Snapshotter {
  let store: SQLiteMetadataStore
  let scope: Scope
  let name: String
  let backend: any Snapshotter

  private struct Entry: Sendable {
    var backendKey: String
    var info: SnapshotInfo
  }

  func stat(_ key: String) async throws -> SnapshotInfo { try await store.read { try entry($0, key).info } }

  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    try fields.validate(object: "snapshot \(info.name)")
    let updated = try await store.write { db -> Entry in
      var stored = try entry(db, info.name)
      stored.info.labels = fields.updatedLabels(of: stored.info.labels, from: info.labels)
      try stored.info.labels.validateLabels()
      stored.info.updatedAt = store.now()
      try db.execute(
        sql: "UPDATE snapshot SET labels = ?, updated = ? WHERE namespace = ? AND snapshotter = ? AND key = ?",
        arguments: [Codec.encode(stored.info.labels), stored.info.updatedAt.description, scope.namespace, name, info.name])
      return stored
    }
    _ = try await backend.update(
      SnapshotInfo(kind: updated.info.kind, name: updated.backendKey, labels: inherited(updated.info.labels)), fields: ["labels"])
    return updated.info
  }

  func usage(_ key: String) async throws -> SnapshotUsage { try await backend.usage(lookup(key).backendKey) }

  func mounts(_ key: String) async throws -> [Mount] {
    let entry = try await lookup(key)
    return try await renamed(entry.backendKey, key) { try await backend.mounts(entry.backendKey) }
  }

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let mounts = try await make(.active, key, parent, labels) { try await backend.prepare($0, parent: $1, labels: $2) }
    store.publish(.snapshotPrepare(key: key, parent: parent ?? "", snapshotter: name), in: scope.namespace)
    return mounts
  }

  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await make(.view, key, parent, labels) { try await backend.view($0, parent: $1, labels: $2) }
  }

  func commit(_ newName: String, key: String, labels: Labels) async throws {
    if newName.isEmpty { throw ContainerdError.invalidArgument("snapshot name must not be empty") }
    try labels.validateLabels()
    try await store.gate.passing {
      let (old, backendName) = try await store.write { db -> (Entry, String) in
        let old = try entry(db, key)
        if old.info.kind != .active { throw ContainerdError.failedPrecondition("snapshot \(key) is not active") }
        if try row(db, newName) != nil {
          try db.addToLease(scope, type: "snapshots/\(name)", id: newName)
          return (old, "")
        }
        return (old, "\(scope.namespace)/\(try db.nextSequence())/\(newName)")
      }
      if backendName.isEmpty { throw ContainerdError.alreadyExists("snapshot \(newName)") }
      try await renamed(old.backendKey, key) { try await backend.commit(backendName, key: old.backendKey, labels: inherited(labels)) }
      try await store.write { db in
        let now = store.now().description
        try db.execute(
          sql: """
            UPDATE snapshot SET key = ?, backendKey = ?, kind = ?, labels = ?, created = ?, updated = ?
            WHERE namespace = ? AND snapshotter = ? AND key = ?
            """,
          arguments: [newName, backendName, SnapshotInfo.Kind.committed.rawValue, Codec.encode(labels), now, now, scope.namespace, name, key])
        try db.execute(
          sql: "DELETE FROM leaseResource WHERE namespace = ? AND type = ? AND id = ?", arguments: [scope.namespace, "snapshots/\(name)", key])
        try db.addToLease(scope, type: "snapshots/\(name)", id: newName)
      }
    }
    store.publish(.snapshotCommit(key: key, name: newName, snapshotter: name), in: scope.namespace)
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
      try db.execute(
        sql: "DELETE FROM leaseResource WHERE namespace = ? AND type = ? AND id = ?", arguments: [scope.namespace, "snapshots/\(name)", key])
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

  // MARK: making

  private func make(
    _ kind: SnapshotInfo.Kind, _ key: String, _ parent: String?, _ labels: Labels,
    _ create: (String, String?, Labels) async throws -> [Mount]
  ) async throws -> [Mount] {
    if key.isEmpty { throw ContainerdError.invalidArgument("snapshot key must not be empty") }
    try labels.validateLabels()
    return try await store.gate.passing {
      let plan = try await store.write { db -> (key: String, parent: String?)? in
        try db.ensureNamespace(scope.namespace)
        if try row(db, key) != nil {
          // Even so it is in use by this lease: the caller will go on with the snapshot that is there.
          try db.addToLease(scope, type: "snapshots/\(name)", id: key)
          return nil
        }
        var backendParent: String?
        if let parent, !parent.isEmpty {
          guard let parentRow = try row(db, parent) else { throw ContainerdError.notFound("parent snapshot \(parent)") }
          let parentEntry = try Self.entry(parentRow)
          if parentEntry.info.kind != .committed { throw ContainerdError.failedPrecondition("parent \(parent) is not a committed snapshot") }
          backendParent = parentEntry.backendKey
        }
        return ("\(scope.namespace)/\(try db.nextSequence())/\(key)", backendParent)
      }
      guard let plan else { throw ContainerdError.alreadyExists("snapshot \(key)") }
      let mounts = try await renamed(plan.key, key) { try await create(plan.key, plan.parent, inherited(labels)) }
      do {
        try await store.write { db in
          let now = store.now().description
          if try row(db, key) != nil { throw ContainerdError.alreadyExists("snapshot \(key)") }
          try db.execute(
            sql: "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            arguments: [scope.namespace, name, key, plan.key, parent ?? "", kind.rawValue, Codec.encode(labels), now, now])
          try db.addToLease(scope, type: "snapshots/\(name)", id: key)
        }
      } catch {
        // Somebody was faster, or the lease is gone: what was made for us serves nobody.
        try await backend.remove(plan.key)
        throw error
      }
      return mounts
    }
  }

  /// Labels meant for the backend.
  private func inherited(_ labels: Labels) -> Labels {
    labels.filter { $0.key.hasPrefix("containerd.io/snapshot/") || $0.key == "containerd.io/snapshot.ref" }
  }

  /// Errors of the backend speak of our keys, not of its numbered ones.
  private func renamed<Value>(_ backendKey: String, _ key: String, _ body: () async throws -> Value) async throws -> Value {
    do { return try await body() } catch let error as ContainerdError {
      throw ContainerdError(error.code, error.message.replacing(backendKey, with: key))
    }
  }

  // MARK: rows

  private func lookup(_ key: String) async throws -> Entry { try await store.read { try entry($0, key) } }

  private func row(_ db: Database, _ key: String) throws -> Row? {
    try Row.fetchOne(db, sql: "SELECT * FROM snapshot WHERE namespace = ? AND snapshotter = ? AND key = ?", arguments: [scope.namespace, name, key])
  }

  private func entry(_ db: Database, _ key: String) throws -> Entry {
    guard let row = try row(db, key) else { throw ContainerdError.notFound("snapshot \(key)") }
    return try Self.entry(row)
  }

  private static func entry(_ row: Row) throws -> Entry {
    let kind: String = row["kind"]
    let parent: String = row["parent"]
    return Entry(
      backendKey: row["backendKey"],
      info: SnapshotInfo(
        kind: SnapshotInfo.Kind(rawValue: kind) ?? .active, name: row["key"], parent: parent.isEmpty ? nil : parent,
        labels: try Codec.labels(row["labels"]), createdAt: Codec.time(row["created"]), updatedAt: Codec.time(row["updated"])))
  }
}
