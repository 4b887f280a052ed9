import Foundation
import GRDB
import Protocols

/// One namespace's containers. They are roots themselves, so no lease holds them.
struct SQLiteContainerStore: ContainerStore {
  let store: SQLiteMetadataStore
  let scope: Scope

  func get(_ id: String) async throws -> ContainerRecord { try await store.read { try record($0, id) } }

  func list(_ filters: FilterSet) async throws -> [ContainerRecord] {
    try await store.read { db in
      try Row.fetchAll(db, sql: "SELECT * FROM container WHERE namespace = ? ORDER BY id", arguments: [scope.namespace]).map(Self.record)
        .filter(filters.matches)
    }
  }

  func create(_ container: ContainerRecord) async throws -> ContainerRecord {
    try Identifiers.validate(container.id, kind: "container id")
    try validate(container)
    let created = try await store.write { db in
      try db.ensureNamespace(scope.namespace)
      if try Row.fetchOne(db, sql: "SELECT 1 FROM container WHERE namespace = ? AND id = ?", arguments: [scope.namespace, container.id]) != nil {
        throw ContainerdError.alreadyExists("container \"\(container.id)\"")
      }
      var container = container
      container.createdAt = store.now()
      container.updatedAt = container.createdAt
      try write(db, container)
      return container
    }
    store.publish(
      .containerCreate(id: created.id, image: created.image, runtime: created.runtime, options: created.runtimeOptions), in: scope.namespace)
    return created
  }

  func update(_ container: ContainerRecord, fields: FieldMask) async throws -> ContainerRecord {
    try fields.validate(
      fields: ["spec", "image", "snapshotkey"], maps: ["labels", "extensions"], object: "container \"\(container.id)\"")
    let updated = try await store.write { db in
      var stored = try record(db, container.id)
      if fields.isEmpty {
        if container.snapshotter != stored.snapshotter { throw immutable("snapshotter", container.id) }
        if container.runtime != stored.runtime { throw immutable("runtime.name", container.id) }
      }
      func wants(_ field: String) -> Bool { fields.isEmpty || fields.paths.contains(field) }
      stored.labels = fields.updatedLabels(of: stored.labels, from: container.labels)
      if wants("spec") { stored.spec = container.spec }
      if wants("image") { stored.image = container.image }
      if wants("snapshotkey") { stored.snapshotKey = container.snapshotKey }
      if wants("extensions") { stored.extensions = container.extensions }
      for path in fields.paths where path.hasPrefix("extensions.") {
        let key = String(path.dropFirst("extensions.".count))
        stored.extensions[key] = container.extensions[key]
      }
      stored.updatedAt = store.now()
      try validate(stored)
      try write(db, stored)
      return stored
    }
    store.publish(
      .containerUpdate(id: updated.id, image: updated.image, labels: updated.labels, snapshotKey: updated.snapshotKey), in: scope.namespace)
    return updated
  }

  func delete(_ id: String) async throws {
    try await store.write { db in
      _ = try record(db, id)
      try db.execute(sql: "DELETE FROM container WHERE namespace = ? AND id = ?", arguments: [scope.namespace, id])
    }
    store.publish(.containerDelete(id: id), in: scope.namespace)
  }

  private func immutable(_ field: String, _ id: String) -> ContainerdError { .invalidArgument("container \"\(id)\": field \(field) is immutable") }

  private func validate(_ container: ContainerRecord) throws {
    if container.runtime.isEmpty { throw ContainerdError.invalidArgument("container \"\(container.id)\": runtime name must be set") }
    if container.spec == nil { throw ContainerdError.invalidArgument("container \"\(container.id)\": spec must be set") }
    if !container.snapshotKey.isEmpty && container.snapshotter.isEmpty {
      throw ContainerdError.invalidArgument("container \"\(container.id)\": a snapshot key needs a snapshotter")
    }
    if container.extensions.keys.contains("") { throw ContainerdError.invalidArgument("container \"\(container.id)\": extension with an empty key") }
    try container.labels.validateLabels()
  }

  private func write(_ db: Database, _ container: ContainerRecord) throws {
    try db.execute(
      sql: "INSERT OR REPLACE INTO container VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      arguments: [
        scope.namespace, container.id, Codec.encode(container.labels), container.image, container.runtime,
        container.runtimeOptions.map { Data($0.value) }, container.runtimeOptions?.typeURL, container.spec.map { Data($0.value) },
        container.spec?.typeURL, container.snapshotter, container.snapshotKey, Codec.encode(container.extensions), container.sandbox,
        container.createdAt.description, container.updatedAt.description,
      ])
  }

  private func record(_ db: Database, _ id: String) throws -> ContainerRecord {
    guard let row = try Row.fetchOne(db, sql: "SELECT * FROM container WHERE namespace = ? AND id = ?", arguments: [scope.namespace, id]) else {
      throw ContainerdError.notFound("container \"\(id)\" in namespace \"\(scope.namespace)\"")
    }
    return try Self.record(row)
  }

  private static func record(_ row: Row) throws -> ContainerRecord {
    ContainerRecord(
      id: row["id"], labels: try Codec.labels(row["labels"]), image: row["image"], runtime: row["runtime"],
      runtimeOptions: Codec.value(row["optionsType"], row["options"]), spec: Codec.value(row["specType"], row["spec"]),
      snapshotter: row["snapshotter"], snapshotKey: row["snapshotKey"], createdAt: Codec.time(row["created"]),
      updatedAt: Codec.time(row["updated"]), extensions: try Codec.values(row["extensions"]), sandbox: row["sandbox"])
  }
}
