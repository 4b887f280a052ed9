import GRDB
import Protocols

extension NamespacedContentStore {
  /// How long an ingest without a lease is kept, as in containerd. One with a lease is kept as long as the lease.
  static let ingestLifetime: Int64 = 24 * 3600

  func status(ref: String) async throws -> IngestStatus {
    guard let ingest = try await store.read({ try ingest($0, ref) }), let status = try await status(of: ingest) else {
      throw ContainerdError.notFound("ingest ref \(ref)")
    }
    return status
  }

  func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    let ingests = try await store.read { db in
      try Row.fetchAll(db, sql: "SELECT * FROM ingest WHERE namespace = ? ORDER BY ref", arguments: [scope.namespace]).map(Ingest.init)
    }
    var statuses: [IngestStatus] = []
    for ingest in ingests {
      if let status = try await status(of: ingest), filters.matches(status) { statuses.append(status) }
    }
    return statuses
  }

  func abort(ref: String) async throws {
    let backendRef = try await store.write { db -> String in
      guard let ingest = try ingest(db, ref) else { throw ContainerdError.notFound("ingest ref \(ref)") }
      try db.execute(sql: "DELETE FROM ingest WHERE namespace = ? AND ref = ?", arguments: [scope.namespace, ref])
      try db.removeFromLeases(scope.namespace, type: "ingests", id: ref)
      // Before anybody can see that the row is gone: by then its writer has lost it.
      store.holds.revoke(ingest.backendRef)
      return ingest.backendRef
    }
    // Opened but never made in the backend, or being committed: nothing to forget.
    do { try await store.backendContent.abort(ref: backendRef) } catch let error as ContainerdError where error.code == .notFound {}
  }

  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    if ref.isEmpty { throw ContainerdError.invalidArgument("ref must not be empty") }
    return try await store.contentGate.passing {
      // One that was there, and is aborted while it is opened, is gone: the opening comes after, and makes a new one.
      while true { if let writer = try await open(ref, expected) { return writer } }
    }
  }

  /// nil if an ingest that was there was aborted meanwhile. The writer of one that was made here, and aborted, finds out at its next call.
  private func open(_ ref: String, _ expected: IngestExpectation) async throws -> NamespacedContentWriter? {
    let opened = try await store.write { db -> (backendRef: String, isNew: Bool)? in
      try db.ensureNamespace(scope.namespace)
      if let digest = expected.digest, try exists(db, digest) {
        // In use by this lease all the same; the error is thrown outside the transaction, so that this stays.
        try db.addToLease(scope, type: "content", id: digest.description)
        return nil
      }
      return try row(db, ref, expected)
    }
    guard let (backendRef, isNew) = opened else { throw ContainerdError.alreadyExists("content \(expected.digest?.description ?? "")") }
    // A linking writer holds the ref without an ingest in the backend.
    if store.holds.isTaken(backendRef) { throw locked(ref) }
    let mode: NamespacedContentWriter.Mode
    if let present = try await linkable(expected) {
      mode = .linked(present)
    } else {
      // The backend's own hold comes first: nobody learns that the ref is held before the ingest can be told of.
      mode = .uploading(try await backendWriter(ref, backendRef, size: expected.size))
    }
    guard let hold = store.holds.take(backendRef) else {
      try await forget(mode, backendRef, onlyIfEmpty: true)
      throw locked(ref)
    }
    do {
      if try await isGone(ref, backendRef, mode) {
        // Aborted since its row was made: nothing of it may be left in the backend, nor a writer that believes in it.
        try await forget(mode, backendRef, onlyIfEmpty: false)
        store.holds.release(hold)
        if !isNew { return nil }
      }
      return NamespacedContentWriter(owner: self, ref: ref, hold: hold, expected: expected, startedAt: store.now(), mode: mode)
    } catch {
      store.holds.release(hold)
      throw error
    }
  }

  /// Whether the ingest has been aborted. Who cannot be told has no use for the backend's writer.
  private func isGone(_ ref: String, _ backendRef: String, _ mode: NamespacedContentWriter.Mode) async throws -> Bool {
    do { return try await store.read { try ingest($0, ref) }?.backendRef != backendRef } catch {
      if case .uploading(let backend) = mode { await backend.close() }
      throw error
    }
  }

  private func locked(_ ref: String) -> ContainerdError { .unavailable("ref \(ref) locked by another writer") }

  /// Puts away what an opening made that comes to nothing.
  private func forget(_ mode: NamespacedContentWriter.Mode, _ backendRef: String, onlyIfEmpty: Bool) async throws {
    guard case .uploading(let backend) = mode else { return }
    let failure: (any Error)?
    do {
      let keep = onlyIfEmpty ? try await backend.status().offset > 0 : false
      if !keep { try await store.backendContent.abort(ref: backendRef) }
      failure = nil
    } catch let error as ContainerdError where error.code == .notFound { failure = nil } catch { failure = error }
    await backend.close()
    if let failure { throw failure }
  }

  /// The backend is not told the digest: it would say that it has the blob, which in this namespace is no reason not to upload it.
  func backendWriter(_ ref: String, _ backendRef: String, size: Int64?) async throws -> any ContentWriter {
    try await renamed(backendRef, ref) {
      try await store.backendContent.writer(ref: backendRef, expected: IngestExpectation(size: size))
    }
  }

  /// The blob if the bytes are there through another namespace: then there is nothing to upload. With another size than expected
  /// the caller is mistaken somewhere, and finds out at the commit.
  private func linkable(_ expected: IngestExpectation) async throws -> ContentInfo? {
    guard let digest = expected.digest else { return nil }
    do {
      let present = try await store.backendContent.info(digest)
      return expected.size == nil || expected.size == present.size ? present : nil
    } catch let error as ContainerdError where error.code == .notFound { return nil }
  }

  // MARK: rows

  private struct Ingest: Sendable {
    var ref: String
    var backendRef: String
    var expected: String?
    init(_ row: Row) {
      ref = row["ref"]
      backendRef = row["backendRef"]
      expected = row["expected"]
    }
  }

  private func ingest(_ db: Database, _ ref: String) throws -> Ingest? {
    try Row.fetchOne(db, sql: "SELECT * FROM ingest WHERE namespace = ? AND ref = ?", arguments: [scope.namespace, ref]).map(Ingest.init)
  }

  /// The ingest's row, made or renewed, and its place in the lease. Gives the backend's ref, and whether it was made.
  private func row(_ db: Database, _ ref: String, _ expected: IngestExpectation) throws -> (backendRef: String, isNew: Bool) {
    let present = try ingest(db, ref)
    // Whoever is refused changes nothing: what is expected is its writer's.
    if let present, store.holds.isTaken(present.backendRef) { throw locked(ref) }
    try db.addToLease(scope, type: "ingests", id: ref)
    let expires = scope.lease == nil ? store.now().advanced(bySeconds: Self.ingestLifetime) : .never
    let digest = expected.digest?.description
    if let present {
      try db.execute(
        sql: "UPDATE ingest SET expires = ?, expected = ? WHERE namespace = ? AND ref = ?",
        arguments: [expires.description, digest, scope.namespace, ref])
      return (present.backendRef, false)
    }
    let backendRef = "\(scope.namespace)/\(try db.nextSequence())/\(ref)"
    try db.execute(
      sql: "INSERT INTO ingest (namespace, ref, backendRef, expected, expires) VALUES (?, ?, ?, ?, ?)",
      arguments: [scope.namespace, ref, backendRef, digest, expires.description])
    return (backendRef, true)
  }

  /// nil if the backend has nothing of it (yet).
  private func status(of ingest: Ingest) async throws -> IngestStatus? {
    do {
      var status = try await store.backendContent.status(ref: ingest.backendRef)
      status.ref = ingest.ref
      status.expected = try ingest.expected.map { try Digest(parsing: $0) }
      return status
    } catch let error as ContainerdError where error.code == .notFound { return nil }
  }
}
