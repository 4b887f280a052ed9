import GRDB
import Protocols

/// One namespace's leases and what they hold.
struct SQLiteLeaseStore: LeaseStore {
  let store: SQLiteMetadataStore
  let scope: Scope

  func create(_ lease: LeaseRecord) async throws -> LeaseRecord {
    if lease.id.isEmpty { throw ContainerdError.invalidArgument("lease id must not be empty") }
    try lease.labels.validateLabels()
    return try await store.write { db in
      try db.ensureNamespace(scope.namespace)
      if try Row.fetchOne(db, sql: "SELECT 1 FROM lease WHERE namespace = ? AND id = ?", arguments: [scope.namespace, lease.id]) != nil {
        throw ContainerdError.alreadyExists("lease \"\(lease.id)\"")
      }
      var lease = lease
      lease.createdAt = store.now()
      try db.execute(
        sql: "INSERT INTO lease VALUES (?, ?, ?, ?)",
        arguments: [scope.namespace, lease.id, Codec.encode(lease.labels), lease.createdAt.description])
      return lease
    }
  }

  func delete(_ id: String) async throws {
    try await store.write { db in
      try require(db, id)
      try db.execute(sql: "DELETE FROM lease WHERE namespace = ? AND id = ?", arguments: [scope.namespace, id])
    }
  }

  func list(_ filters: FilterSet) async throws -> [LeaseRecord] {
    try await store.read { db in
      try Row.fetchAll(db, sql: "SELECT * FROM lease WHERE namespace = ? ORDER BY id", arguments: [scope.namespace]).map { row in
        LeaseRecord(id: row["id"], labels: try Codec.labels(row["labels"]), createdAt: Codec.time(row["created"]))
      }.filter(filters.matches)
    }
  }

  func addResource(_ resource: LeaseResource, to lease: String) async throws {
    try validate(resource)
    try await store.write { db in try db.addToLease(Scope(namespace: scope.namespace, lease: lease), type: resource.type, id: resource.id) }
  }

  func deleteResource(_ resource: LeaseResource, from lease: String) async throws {
    try validate(resource)
    try await store.write { db in
      try require(db, lease)
      try db.execute(
        sql: "DELETE FROM leaseResource WHERE namespace = ? AND lease = ? AND type = ? AND id = ?",
        arguments: [scope.namespace, lease, resource.type, resource.id])
    }
  }

  func resources(of lease: String) async throws -> [LeaseResource] {
    try await store.read { db in
      try require(db, lease)
      return try Row.fetchAll(
        db, sql: "SELECT type, id FROM leaseResource WHERE namespace = ? AND lease = ? ORDER BY type, id", arguments: [scope.namespace, lease]
      ).map { LeaseResource(type: $0["type"], id: $0["id"]) }
    }
  }

  private func require(_ db: Database, _ id: String) throws {
    if try Row.fetchOne(db, sql: "SELECT 1 FROM lease WHERE namespace = ? AND id = ?", arguments: [scope.namespace, id]) == nil {
      throw ContainerdError.notFound("lease \"\(id)\"")
    }
  }

  private func validate(_ resource: LeaseResource) throws {
    let parts = resource.type.split(separator: "/", omittingEmptySubsequences: false)
    switch parts.first {
    case "content" where parts.count == 1: _ = try Digest(parsing: resource.id)
    case "ingests" where parts.count == 1, "images" where parts.count == 1: break
    case "snapshots" where parts.count == 2 && !parts[1].isEmpty: break
    default: throw ContainerdError.notImplemented("lease resource type \"\(resource.type)\"")
    }
    if resource.id.isEmpty { throw ContainerdError.invalidArgument("lease resource id must not be empty") }
  }
}
