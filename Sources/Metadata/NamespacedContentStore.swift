import GRDB
import Protocols

/// One namespace's view of the content: its own names, labels and ingests over shared bytes.
struct NamespacedContentStore: ContentStore {
  let store: SQLiteMetadataStore
  let scope: Scope

  func info(_ digest: Digest) async throws -> ContentInfo { try await store.read { try row($0, digest) } }

  func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo {
    try fields.validate(object: "content \(info.digest)")
    return try await store.write { db in
      var stored = try row(db, info.digest)
      stored.labels = fields.updatedLabels(of: stored.labels, from: info.labels)
      try stored.labels.validateLabels()
      stored.updatedAt = store.now()
      try db.execute(
        sql: "UPDATE content SET labels = ?, updated = ? WHERE namespace = ? AND digest = ?",
        arguments: [Codec.encode(stored.labels), stored.updatedAt.description, scope.namespace, info.digest.description])
      return stored
    }
  }

  func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    let infos = try await store.read { db in
      try Row.fetchAll(db, sql: "SELECT * FROM content WHERE namespace = ?", arguments: [scope.namespace]).map(Self.info)
    }
    for info in infos where filters.matches(info) { try await visit(info) }
  }

  /// Only the name goes; the bytes follow with the next collection, if no other namespace has them.
  func delete(_ digest: Digest) async throws {
    try await store.write { db in
      _ = try row(db, digest)
      try db.execute(sql: "DELETE FROM content WHERE namespace = ? AND digest = ?", arguments: [scope.namespace, digest.description])
      try db.removeFromLeases(scope.namespace, type: "content", id: digest.description)
    }
    store.publish(.contentDelete(digest: digest), in: scope.namespace)
  }

  func reader(_ digest: Digest) async throws -> any ContentReader {
    _ = try await info(digest)
    return try await store.backendContent.reader(digest)
  }

  // MARK: rows

  /// The blob's row, the lease and the end of the ingest, as one. True if the namespace had the blob.
  ///
  /// Whoever aborts the ingest takes its row away: of an abort and a commit at the same time one succeeds.
  func record(_ digest: Digest, size: Int64, labels: Labels, ref: String, backendRef: String) async throws -> Bool {
    try await store.write { db in
      // By the backend's ref: an ingest begun anew under the same ref is another one.
      try db.execute(sql: "DELETE FROM ingest WHERE namespace = ? AND backendRef = ?", arguments: [scope.namespace, backendRef])
      if db.changesCount == 0 { throw ContainerdError.notFound("ingest ref \(ref)") }
      try db.removeFromLeases(scope.namespace, type: "ingests", id: ref)
      try db.addToLease(scope, type: "content", id: digest.description)
      if try exists(db, digest) { return true }
      let now = store.now().description
      try db.ensureNamespace(scope.namespace)
      try db.execute(
        sql: "INSERT INTO content VALUES (?, ?, ?, ?, ?, ?)",
        arguments: [scope.namespace, digest.description, size, Codec.encode(labels), now, now])
      return false
    }
  }

  func exists(_ db: Database, _ digest: Digest) throws -> Bool {
    try Int.fetchOne(db, sql: "SELECT 1 FROM content WHERE namespace = ? AND digest = ?", arguments: [scope.namespace, digest.description]) != nil
  }

  private func row(_ db: Database, _ digest: Digest) throws -> ContentInfo {
    guard let row = try Row.fetchOne(db, sql: "SELECT * FROM content WHERE namespace = ? AND digest = ?", arguments: [scope.namespace, digest.description])
    else { throw ContainerdError.notFound("content \(digest)") }
    return try Self.info(row)
  }

  private static func info(_ row: Row) throws -> ContentInfo {
    ContentInfo(
      digest: try Digest(parsing: row["digest"]), size: row["size"], createdAt: Codec.time(row["created"]), updatedAt: Codec.time(row["updated"]),
      labels: try Codec.labels(row["labels"]))
  }
}
