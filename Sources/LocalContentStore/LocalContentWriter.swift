import BlockingIO
import CLinux
import Hashing
import Protocols
import Synchronization
import SystemKit

/// The open end of an ingest. Bytes go straight to `data` and through the hash; resuming hashes what is on disk again.
final class LocalContentWriter: ContentWriter {
  private struct State: ~Copyable {
    var hasher: Hasher
    var offset: Int64
    /// Of the last change: a client compares it with the time of its own writes.
    var updatedAt: Timestamp
    var open = true
  }

  private let store: LocalContentStore
  private let ref: String
  private let directory: String
  private let expected: IngestExpectation
  private let startedAt: Timestamp
  private let data: OwnedFD
  private let state: Mutex<State>
  private let total: Int64

  init(store: LocalContentStore, ref: String, expected: IngestExpectation) throws {
    let directory = store.ingestPath(ref)
    var startedAt = Timestamp.now()
    var updatedAt = startedAt
    var total = expected.size ?? 0
    if let existing = try store.readStatus(directory), existing.ref == ref, expected.size == nil || existing.total == 0 || existing.total == expected.size {
      startedAt = existing.startedAt
      updatedAt = existing.updatedAt
      if total == 0 { total = existing.total }
    } else {
      try Files.removeTree(directory)
      try Files.makeDirectories(directory, mode: 0o700)
      try Files.writeAtomically(Array(startedAt.description.utf8), to: "\(directory)/startedat")
      if total > 0 { try Files.writeAtomically(Array(String(total).utf8), to: "\(directory)/total") }
      if let digest = expected.digest { try Files.writeAtomically(Array(digest.description.utf8), to: "\(directory)/expected") }
      try Files.writeAtomically(Array(ref.utf8), to: "\(directory)/ref")
    }
    let data = try Files.open("\(directory)/data", O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
    var hasher = Hasher()
    let offset = try Self.hashExisting(data, &hasher, path: "\(directory)/data")
    self.store = store
    self.ref = ref
    self.directory = directory
    self.expected = expected
    self.startedAt = startedAt
    self.total = total
    self.data = data
    self.state = Mutex(State(hasher: hasher, offset: offset, updatedAt: updatedAt))
  }

  private static func hashExisting(_ data: borrowing OwnedFD, _ hasher: inout Hasher, path: String) throws -> Int64 {
    var offset: Int64 = 0
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    let raw = data.raw
    while true {
      let count = try check("pread", path) { pread(raw, &chunk, chunk.count, off_t(offset)) }
      if count == 0 { return offset }
      chunk.withUnsafeBytes { hasher.update(UnsafeRawBufferPointer(rebasing: $0[0..<count])) }
      offset += Int64(count)
    }
  }

  func status() async throws -> IngestStatus {
    let (offset, updatedAt, open) = state.withLock { ($0.offset, $0.updatedAt, $0.open) }
    if !open { throw closed }
    return IngestStatus(ref: ref, offset: offset, total: total, expected: expected.digest, startedAt: startedAt, updatedAt: updatedAt)
  }

  func write(_ bytes: [UInt8], at offset: Int64?) async throws {
    try await store.pool.run {
      try self.state.withLock { state throws in
        try self.checkOpen(state.open)
        if let offset, offset != state.offset {
          throw ContainerdError.outOfRange("ingest \(self.ref): write at \(offset) must occur at current offset \(state.offset)")
        }
        do {
          var done = 0
          while done < bytes.count {
            done += try check("pwrite", "\(self.directory)/data") {
              bytes.withUnsafeBytes { pwrite(self.data.raw, $0.baseAddress! + done, $0.count - done, off_t(state.offset) + off_t(done)) }
            }
          }
          state.hasher.update(bytes)
          state.offset += Int64(bytes.count)
          state.updatedAt = try self.touch()
        } catch {
          // What a full disk let through of these bytes is not counted; it must not be in the blob either.
          ftruncate(self.data.raw, off_t(state.offset))
          throw ContainerdError(error, "ingest \(self.ref)")
        }
      }
    }
  }

  func truncate(to offset: Int64) async throws {
    try await store.pool.run {
      try self.state.withLock { state throws in
        try self.checkOpen(state.open)
        if offset < 0 || offset > state.offset { throw ContainerdError.outOfRange("ingest \(self.ref): truncate to \(offset) of \(state.offset) bytes") }
        do {
          try check("ftruncate", "\(self.directory)/data") { ftruncate(self.data.raw, off_t(offset)) }
          var hasher = Hasher()
          state.offset = try Self.hashExisting(self.data, &hasher, path: "\(self.directory)/data")
          state.hasher = hasher
          state.updatedAt = try self.touch()
        } catch { throw ContainerdError(error, "ingest \(self.ref)") }
      }
    }
  }

  /// The kernel's own times lag behind by up to a tick; a status after a resume must not be older than the write it tells of.
  private func touch() throws(SystemError) -> Timestamp {
    let now = Timestamp.now()
    let time = timespec(tv_sec: Int(now.seconds), tv_nsec: Int(now.nanoseconds))
    try check("futimens", "\(directory)/data") { futimens(data.raw, [time, time]) }
    return now
  }

  func digest() async throws -> Digest { state.withLock { $0.hasher.digest() } }

  func commit(_ wanted: IngestExpectation, labels: Labels) async throws -> Digest {
    try labels.validateLabels()
    return try await store.pool.run {
      let (digest, size) = try self.state.withLock { state throws in
        try self.checkOpen(state.open)
        return (state.hasher.digest(), state.offset)
      }
      // Whatever comes out of it, this writer is done; a mismatch keeps the bytes for whoever wants to look.
      defer { self.finish() }
      let target = wanted.or(self.expected)
      if let expected = target.size, expected != size {
        throw ContainerdError.failedPrecondition("ingest \(self.ref): unexpected commit size \(size), expected \(expected)")
      }
      if let expected = target.digest, expected != digest {
        throw ContainerdError.failedPrecondition("ingest \(self.ref): unexpected commit digest \(digest), expected \(expected)")
      }
      let blob = self.store.blobPath(digest)
      if Files.exists(blob) {
        try self.drop()
        throw ContainerdError.alreadyExists("content \(digest)")
      }
      do {
        let path = "\(self.directory)/data"
        try check("fchmod", path) { fchmod(self.data.raw, 0o444) }
        try check("fsync", path) { fsync(self.data.raw) }
        if !labels.isEmpty { try self.store.writeLabels(labels, of: digest) }
        try check("rename", blob) { rename(path, blob) }
        try Files.syncDirectory(Files.parent(of: blob))
      } catch { throw ContainerdError(error, "ingest \(self.ref): commit \(digest)") }
      try self.drop()
      return digest
    }
  }

  func close() async { finish() }

  private func finish() {
    let wasOpen = state.withLock { state in
      defer { state.open = false }
      return state.open
    }
    if wasOpen { store.release(ref) }
  }

  private func drop() throws {
    do { try Files.removeTree(directory) } catch { throw ContainerdError(error, "ingest \(ref)") }
  }

  /// Throws once the writer is closed, or when somebody aborted the ingest under it.
  private func checkOpen(_ open: Bool) throws {
    if !open { throw closed }
    if !Files.exists("\(directory)/ref") { throw ContainerdError.notFound("ingest ref \(ref) (aborted)") }
  }

  private var closed: ContainerdError { .failedPrecondition("ingest \(ref): the writer is closed") }
}
