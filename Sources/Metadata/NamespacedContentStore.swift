import GRDB
import Protocols

/// One namespace's view of the content: its own names, labels and ingests over shared bytes.
struct NamespacedContentStore: ContentStore {
  let store: SQLiteMetadataStore
  let scope: Scope

  /// How long an ingest without a lease is kept, as in containerd.
  static let ingestLifetime: Int64 = 24 * 3600

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
    }
    store.publish(.contentDelete(digest: digest), in: scope.namespace)
  }

  func reader(_ digest: Digest) async throws -> any ContentReader {
    _ = try await info(digest)
    return try await store.backendContent.reader(digest)
  }

  func status(ref: String) async throws -> IngestStatus {
    guard let backendRef = try await store.read({ try backendRef($0, ref) }) else { throw ContainerdError.notFound("ingest ref \(ref)") }
    do {
      return try await translated(store.backendContent.status(ref: backendRef), ref)
    } catch let error as ContainerdError where error.code == .notFound { throw ContainerdError.notFound("ingest ref \(ref)") }
  }

  func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    let refs = try await store.read { db in
      try Row.fetchAll(db, sql: "SELECT ref, backendRef FROM ingest WHERE namespace = ? ORDER BY ref", arguments: [scope.namespace]).map {
        ($0["ref"] as String, $0["backendRef"] as String)
      }
    }
    var statuses: [IngestStatus] = []
    for (ref, backendRef) in refs {
      do {
        statuses.append(try await translated(store.backendContent.status(ref: backendRef), ref))
      } catch let error as ContainerdError where error.code == .notFound { continue }
    }
    return statuses.filter(filters.matches)
  }

  func abort(ref: String) async throws {
    let backendRef = try await store.write { db -> String in
      guard let backendRef = try self.backendRef(db, ref) else { throw ContainerdError.notFound("ingest ref \(ref)") }
      try db.execute(sql: "DELETE FROM ingest WHERE namespace = ? AND ref = ?", arguments: [scope.namespace, ref])
      return backendRef
    }
    // Opened but never made on disk: nothing to forget.
    do { try await store.backendContent.abort(ref: backendRef) } catch let error as ContainerdError where error.code == .notFound {}
  }

  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    if ref.isEmpty { throw ContainerdError.invalidArgument("ref must not be empty") }
    return try await store.gate.passing {
      let backendRef = try await store.write { db -> String in
        try db.ensureNamespace(scope.namespace)
        if let digest = expected.digest, try exists(db, digest, in: scope.namespace) {
          try db.addToLease(scope, type: "content", id: digest.description)
          return ""
        }
        let expires = store.now().advanced(bySeconds: Self.ingestLifetime).description
        if let existing = try self.backendRef(db, ref) {
          try db.execute(
            sql: "UPDATE ingest SET expires = ?, expected = ? WHERE namespace = ? AND ref = ?",
            arguments: [expires, expected.digest?.description, scope.namespace, ref])
          try db.addToLease(scope, type: "ingests", id: ref)
          return existing
        }
        let backendRef = "\(scope.namespace)/\(try db.nextSequence())/\(ref)"
        try db.execute(
          sql: "INSERT INTO ingest VALUES (?, ?, ?, ?, ?)",
          arguments: [scope.namespace, ref, backendRef, expected.digest?.description, expires])
        try db.addToLease(scope, type: "ingests", id: ref)
        return backendRef
      }
      if backendRef.isEmpty, let digest = expected.digest { throw ContainerdError.alreadyExists("content \(digest)") }
      // The bytes may be there already, through another namespace: then there is nothing to upload.
      if let digest = expected.digest, let present = try await present(digest) {
        if let size = expected.size, size != present.size {
          throw ContainerdError.failedPrecondition("content \(digest) has \(present.size) bytes, not \(size)")
        }
        return LinkingWriter(owner: self, ref: ref, present: present, startedAt: store.now())
      }
      do {
        let writer = try await store.backendContent.writer(ref: backendRef, expected: IngestExpectation(size: expected.size))
        return NamespacedContentWriter(owner: self, ref: ref, backend: writer, expected: expected)
      } catch let error as ContainerdError where error.code == .unavailable {
        throw ContainerdError.unavailable(error.message.replacing(backendRef, with: ref))
      }
    }
  }

  private func present(_ digest: Digest) async throws -> ContentInfo? {
    do { return try await store.backendContent.info(digest) } catch let error as ContainerdError where error.code == .notFound { return nil }
  }

  // MARK: rows

  /// The blob's row, the lease and the end of the ingest, as one.
  func record(_ digest: Digest, size: Int64, labels: Labels, ref: String) async throws {
    try await store.write { db in
      if try exists(db, digest, in: scope.namespace) {
        try db.execute(sql: "DELETE FROM ingest WHERE namespace = ? AND ref = ?", arguments: [scope.namespace, ref])
        try db.addToLease(scope, type: "content", id: digest.description)
        return
      }
      let now = store.now().description
      try db.execute(
        sql: "INSERT INTO content VALUES (?, ?, ?, ?, ?, ?)",
        arguments: [scope.namespace, digest.description, size, Codec.encode(labels), now, now])
      try db.execute(sql: "DELETE FROM ingest WHERE namespace = ? AND ref = ?", arguments: [scope.namespace, ref])
      try db.addToLease(scope, type: "content", id: digest.description)
    }
  }

  func has(_ digest: Digest) async throws -> Bool { try await store.read { try exists($0, digest, in: scope.namespace) } }

  private func exists(_ db: Database, _ digest: Digest, in namespace: String) throws -> Bool {
    try Row.fetchOne(db, sql: "SELECT 1 FROM content WHERE namespace = ? AND digest = ?", arguments: [namespace, digest.description]) != nil
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

  private func backendRef(_ db: Database, _ ref: String) throws -> String? {
    try String.fetchOne(db, sql: "SELECT backendRef FROM ingest WHERE namespace = ? AND ref = ?", arguments: [scope.namespace, ref])
  }

  private func translated(_ status: IngestStatus, _ ref: String) -> IngestStatus {
    var status = status
    status.ref = ref
    return status
  }
}
