import GRDB
import Protocols

/// One namespace's names of images.
struct SQLiteImageStore: ImageStore {
  let store: SQLiteMetadataStore
  let scope: Scope

  func get(_ name: String) async throws -> ImageRecord { try await store.read { try record($0, name) } }

  func list(_ filters: FilterSet) async throws -> [ImageRecord] {
    try await store.read { db in
      try Row.fetchAll(db, sql: "SELECT * FROM image WHERE namespace = ? ORDER BY name", arguments: [scope.namespace]).map(Self.record)
        .filter(filters.matches)
    }
  }

  func create(_ image: ImageRecord) async throws -> ImageRecord {
    try validate(image)
    let created = try await store.write { db in
      try db.ensureNamespace(scope.namespace)
      if try Row.fetchOne(db, sql: "SELECT 1 FROM image WHERE namespace = ? AND name = ?", arguments: [scope.namespace, image.name]) != nil {
        throw ContainerdError.alreadyExists("image \"\(image.name)\"")
      }
      var image = image
      image.createdAt = store.now()
      image.updatedAt = image.createdAt
      try write(db, image)
      try db.addToLease(scope, type: "images", id: image.name)
      return image
    }
    store.publish(.imageCreate(name: created.name, labels: created.labels), in: scope.namespace)
    return created
  }

  func update(_ image: ImageRecord, fields: FieldMask) async throws -> ImageRecord {
    try fields.validate(fields: ["target"], maps: ["labels", "annotations"], object: "image \"\(image.name)\"")
    let updated = try await store.write { db in
      var stored = try record(db, image.name)
      stored.labels = fields.updatedLabels(of: stored.labels, from: image.labels)
      if fields.isEmpty || fields.paths.contains("target") {
        stored.target = image.target
      } else {
        stored.target.annotations = fields.updatedLabels(of: stored.target.annotations, from: image.target.annotations, field: "annotations")
      }
      stored.updatedAt = store.now()
      try validate(stored)
      try write(db, stored)
      try db.addToLease(scope, type: "images", id: stored.name)
      return stored
    }
    store.publish(.imageUpdate(name: updated.name, labels: updated.labels), in: scope.namespace)
    return updated
  }

  func delete(_ name: String) async throws {
    try await store.write { db in
      _ = try record(db, name)
      try db.execute(sql: "DELETE FROM image WHERE namespace = ? AND name = ?", arguments: [scope.namespace, name])
      try db.removeFromLeases(scope.namespace, type: "images", id: name)
    }
    store.publish(.imageDelete(name: name), in: scope.namespace)
  }

  private func validate(_ image: ImageRecord) throws {
    if image.name.isEmpty { throw ContainerdError.invalidArgument("image name must not be empty") }
    if image.target.mediaType.isEmpty { throw ContainerdError.invalidArgument("image \"\(image.name)\": target has no media type") }
    if image.target.size <= 0 { throw ContainerdError.invalidArgument("image \"\(image.name)\": target size \(image.target.size) must be positive") }
    try image.labels.validateLabels()
    try image.target.annotations.validateLabels()
  }

  private func write(_ db: Database, _ image: ImageRecord) throws {
    try db.execute(
      sql: "INSERT OR REPLACE INTO image VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      arguments: [
        scope.namespace, image.name, Codec.encode(image.labels), image.target.mediaType, image.target.digest.description, image.target.size,
        Codec.encode(image.target.annotations), image.createdAt.description, image.updatedAt.description,
      ])
  }

  private func record(_ db: Database, _ name: String) throws -> ImageRecord {
    guard let row = try Row.fetchOne(db, sql: "SELECT * FROM image WHERE namespace = ? AND name = ?", arguments: [scope.namespace, name]) else {
      throw ContainerdError.notFound("image \"\(name)\"")
    }
    return try Self.record(row)
  }

  private static func record(_ row: Row) throws -> ImageRecord {
    ImageRecord(
      name: row["name"], labels: try Codec.labels(row["labels"]),
      target: Descriptor(
        mediaType: row["mediaType"], digest: try Digest(parsing: row["digest"]), size: row["size"], annotations: try Codec.labels(row["annotations"])),
      createdAt: Codec.time(row["created"]), updatedAt: Codec.time(row["updated"]))
  }
}
