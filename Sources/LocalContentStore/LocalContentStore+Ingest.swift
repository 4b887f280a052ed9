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
      if let digest = expected.digest, Files.exists(self.blobPath(digest)) { throw ContainerdError.alreadyExists("content \(digest)") }
      let now = Timestamp.now()
      let holder = self.held.withLock { held -> Timestamp? in
        if let since = held[ref] { return since }
        held[ref] = now
        return nil
      }
      if let holder { throw ContainerdError.unavailable("ref \(ref) locked since \(holder)") }
      do {
        return try LocalContentWriter(store: self, ref: ref, expected: expected)
      } catch {
        self.release(ref)
        throw ContainerdError(error, "ingest \(ref)")
      }
    }
  }

  func release(_ ref: String) { held.withLock { _ = $0.removeValue(forKey: ref) } }

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
    let path = ingestPath(ref)
    try await pool.run {
      // Renamed first: whoever still writes into it cannot bring the ingest back.
      let doomed = "\(path).aborted.\(Timestamp.now().nanoseconds)"
      if rename(path, doomed) != 0 {
        if clinux_errno() == ENOENT { throw ContainerdError.notFound("ingest ref \(ref)") }
        throw ContainerdError(SystemError.last("rename", path), "ingest \(ref)")
      }
      self.release(ref)
      do { try Files.removeTree(doomed) } catch { throw ContainerdError(error, "ingest \(ref)") }
    }
  }

  /// nil for a directory in which a crash left no ref yet.
  func readStatus(_ directory: String) throws -> IngestStatus? {
    if directory.contains(".aborted.") { return nil }
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
