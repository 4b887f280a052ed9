import GRDB
import Protocols

/// Namespaces and their labels.
struct SQLiteNamespaceStore: NamespaceStore {
  let store: SQLiteMetadataStore

  func get(_ name: String) async throws -> NamespaceRecord { try await store.read { try Self.row($0, name) } }

  func list() async throws -> [NamespaceRecord] {
    try await store.read { db in
      try Row.fetchAll(db, sql: "SELECT * FROM namespace ORDER BY name").map { NamespaceRecord(name: $0["name"], labels: try Codec.labels($0["labels"])) }
    }
  }

  func create(_ namespace: NamespaceRecord) async throws -> NamespaceRecord {
    try Identifiers.validate(namespace.name, kind: "namespace")
    try namespace.labels.validateLabels()
    try await store.write { db in
      if try Row.fetchOne(db, sql: "SELECT 1 FROM namespace WHERE name = ?", arguments: [namespace.name]) != nil {
        throw ContainerdError.alreadyExists("namespace \"\(namespace.name)\"")
      }
      try db.execute(sql: "INSERT INTO namespace (name, labels) VALUES (?, ?)", arguments: [namespace.name, Codec.encode(namespace.labels)])
    }
    store.publish(.namespaceCreate(name: namespace.name, labels: namespace.labels), in: namespace.name)
    return namespace
  }

  /// Labels of a namespace may be set before there is anything in it, as in containerd.
  func update(_ namespace: NamespaceRecord, fields: FieldMask) async throws -> NamespaceRecord {
    try Identifiers.validate(namespace.name, kind: "namespace")
    try fields.validate(object: "namespace \"\(namespace.name)\"")
    let updated = try await store.write { db in
      try db.ensureNamespace(namespace.name)
      var stored = try Self.row(db, namespace.name)
      stored.labels = fields.updatedLabels(of: stored.labels, from: namespace.labels)
      try stored.labels.validateLabels()
      try db.execute(sql: "UPDATE namespace SET labels = ? WHERE name = ?", arguments: [Codec.encode(stored.labels), stored.name])
      return stored
    }
    store.publish(.namespaceUpdate(name: updated.name, labels: updated.labels), in: updated.name)
    return updated
  }

  func delete(_ name: String) async throws {
    try await store.write { db in
      _ = try Self.row(db, name)
      let held = try Self.contents(db, name)
      if !held.isEmpty {
        throw ContainerdError.failedPrecondition("namespace \"\(name)\" must be empty, but it still has \(held.joined(separator: ", "))")
      }
      try db.execute(sql: "DELETE FROM lease WHERE namespace = ?", arguments: [name])
      try db.execute(sql: "DELETE FROM ingest WHERE namespace = ?", arguments: [name])
      try db.execute(sql: "DELETE FROM namespace WHERE name = ?", arguments: [name])
    }
    store.publish(.namespaceDelete(name: name), in: name)
  }

  /// What is in the way of a deletion. Leases and ingests are not: they go with the namespace.
  private static func contents(_ db: Database, _ name: String) throws -> [String] {
    var held: [String] = []
    for (table, what) in [("image", "images"), ("content", "blobs"), ("container", "containers")] {
      if try Int.fetchOne(db, sql: "SELECT 1 FROM \(table) WHERE namespace = ? LIMIT 1", arguments: [name]) != nil { held.append(what) }
    }
    held += try String.fetchAll(
      db, sql: "SELECT DISTINCT snapshotter FROM snapshot WHERE namespace = ? ORDER BY snapshotter", arguments: [name]
    ).map { "snapshots on \"\($0)\" snapshotter" }
    return held
  }

  private static func row(_ db: Database, _ name: String) throws -> NamespaceRecord {
    guard let row = try Row.fetchOne(db, sql: "SELECT * FROM namespace WHERE name = ?", arguments: [name]) else {
      throw ContainerdError.notFound("namespace \"\(name)\"")
    }
    return NamespaceRecord(name: name, labels: try Codec.labels(row["labels"]))
  }
}
