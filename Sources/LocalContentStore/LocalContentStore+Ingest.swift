import BlockingIO
import CLinux
import Hashing
import Protocols
import Synchronization
import SystemKit

extension LocalContentStore {
  public func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    if ref.isEmpty { throw ContainerdError.invalidArgument("ref must not be empty") }
    return try await pool.run {
      let hold = self.newHold()
      while true {
        do {
          if let kept = try self.take(ref, hold, expected) {
            return try LocalContentWriter(store: self, ref: ref, hold: hold, expected: expected, resuming: kept.status, kept.data)
          }
          return try LocalContentWriter(store: self, ref: ref, hold: hold, expected: expected)
        } catch is CameMeanwhile { continue } catch {
          self.release(ref, hold)
          throw ContainerdError(error, "ingest \(ref)")
        }
      }
    }
  }

  /// An ingest that is gone on with, and its bytes.
  private struct Kept: ~Copyable {
    let status: IngestStatus
    let data: OwnedFD
  }

  /// Lets a writer hold a ref whose ingest it goes on with; nil, and nothing is held, if there is no such ingest. All of it is one step: whoever
  /// is told that the ref is locked, or has aborted or committed it, did so before this or after.
  private func take(_ ref: String, _ hold: Hold, _ expected: IngestExpectation) throws -> Kept? {
    try held.withLock { held throws in
      try refuse(ref, expected, held[ref])
      guard let status = try resumable(ref, expected) else { return nil }
      let data = "\(ingestPath(ref))/data"
      // A commit that was interrupted has made it read-only.
      chmod(data, 0o600)
      let kept = Kept(status: status, data: try Files.open(data, O_RDWR | O_NOFOLLOW))
      held[ref] = hold
      return kept
    }
  }

  /// Under the lock: throws if the blob is there already, or another writer holds the ref.
  private func refuse(_ ref: String, _ expected: IngestExpectation, _ other: Hold?) throws {
    if let digest = expected.digest, Files.exists(blobPath(digest)) { throw ContainerdError.alreadyExists("content \(digest)") }
    if let other { throw ContainerdError.unavailable("ref \(ref) locked since \(other.since)") }
  }

  /// An ingest that this opening goes on with.
  func resumable(_ ref: String, _ expected: IngestExpectation) throws -> IngestStatus? {
    guard let existing = try readStatus(ingestPath(ref)), existing.ref == ref else { return nil }
    return expected.size == nil || existing.total == 0 || existing.total == expected.size ? existing : nil
  }

  private func newHold() -> Hold { Hold(id: lastHold.add(1, ordering: .relaxed).newValue, since: .now()) }

  /// Only for its holder: after an abort the ref may be another writer's.
  func release(_ ref: String, _ hold: Hold) { held.withLock { if $0[ref] == hold { $0[ref] = nil } } }

  public func status(ref: String) async throws -> IngestStatus {
    try await pool.run {
      guard let status = try self.readStatus(self.ingestPath(ref)), status.ref == ref else { throw ContainerdError.notFound("ingest ref \(ref)") }
      return status
    }
  }

  public func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    try await pool.run {
      do {
        return try Files.names(in: "\(self.root)/ingest").compactMap { try self.readStatus("\(self.root)/ingest/\($0)") }.filter(filters.matches)
      } catch { throw ContainerdError(error, "ingests of \(self.root)") }
    }
  }

  public func abort(ref: String) async throws {
    try await pool.run {
      let doomed = try self.held.withLock { held in
        let doomed = try self.doom(ref)
        held[ref] = nil
        return doomed
      }
      guard let doomed else { throw ContainerdError.notFound("ingest ref \(ref)") }
      CrashPoint.pass("abort.doomed")
      do { try Files.removeTree(doomed) } catch { throw ContainerdError(error, "ingest \(ref)") }
    }
  }

  static let doomedMark = ".aborted."

  /// Under the lock: takes an ingest's directory away from its ref, so that whoever still writes into it cannot bring the ingest back. Gives
  /// what to remove, nil if there is none. What a crash leaves of it is removed when the store is opened.
  func doom(_ ref: String) throws -> String? {
    let path = ingestPath(ref)
    let doomed = pathBeside(ref)
    if rename(path, doomed) == 0 { return doomed }
    if clinux_errno() == ENOENT { return nil }
    throw ContainerdError(SystemError.last("rename", path), "ingest \(ref)")
  }

  /// Since an opening found no ingest to go on with, another has made one and let go of it: its bytes are not to be lost.
  struct CameMeanwhile: Error {}

  /// A place of its own for an ingest that is not there yet, or not any more.
  func pathBeside(_ ref: String) -> String { "\(ingestPath(ref))\(Self.doomedMark)\(getpid()).\(lastHold.add(1, ordering: .relaxed).newValue)" }

  /// Puts a new ingest where its ref is looked for, and lets its maker hold the ref, as one. Gives what was there, to be removed.
  func place(_ made: String, ref: String, hold: Hold, expected: IngestExpectation) throws -> String? {
    let path = ingestPath(ref)
    return try held.withLock { held in
      try refuse(ref, expected, held[ref])
      if try resumable(ref, expected) != nil { throw CameMeanwhile() }
      let old = try doom(ref)
      try check("rename", path) { rename(made, path) }
      held[ref] = hold
      return old
    }
  }

  /// nil for a directory in which a crash left no ref yet.
  func readStatus(_ directory: String) throws -> IngestStatus? {
    if directory.contains(Self.doomedMark) { return nil }
    while true {
      guard let before = FileIdentity(directory) else { return nil }
      let found = readOnce(directory)
      // An abort or a commit meanwhile has taken some of the files along: what was read then is of no ingest.
      if FileIdentity(directory) == before { return found }
    }
  }

  private func readOnce(_ directory: String) -> IngestStatus? {
    var status = stat()
    guard stat("\(directory)/data", &status) == 0 else { return nil }
    guard let ref = text("\(directory)/ref") else { return nil }
    let updated = Timestamp(seconds: Int64(status.st_mtim.tv_sec), nanoseconds: Int32(status.st_mtim.tv_nsec))
    return IngestStatus(
      ref: ref, offset: Int64(status.st_size), total: text("\(directory)/total").flatMap { Int64($0) } ?? 0,
      // An unreadable expectation is none: the commit's own expectation is checked in any case.
      expected: text("\(directory)/expected").flatMap { try? Digest(parsing: $0) },
      startedAt: text("\(directory)/startedat").flatMap { Timestamp(rfc3339: $0) } ?? updated, updatedAt: updated)
  }

  /// nil where the file is missing, as after a crash while the ingest was being made.
  private func text(_ path: String) -> String? { (try? Files.read(path)).map { String(decoding: $0, as: UTF8.self) } }
}
