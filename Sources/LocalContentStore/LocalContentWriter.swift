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
  private let hold: LocalContentStore.Hold
  private let expected: IngestExpectation
  private let startedAt: Timestamp
  private let data: OwnedFD
  private let state: Mutex<State>
  private let total: Int64

  /// Makes an ingest, and holds its ref.
  convenience init(store: LocalContentStore, ref: String, hold: LocalContentStore.Hold, expected: IngestExpectation) throws {
    let now = Timestamp.now()
    let data = try Self.make(store, ref, hold, expected, now)
    try self.init(store, ref, hold, expected, startedAt: now, updatedAt: now, total: expected.size ?? 0, data)
  }

  /// Goes on with an ingest whose ref is held already.
  convenience init(
    store: LocalContentStore, ref: String, hold: LocalContentStore.Hold, expected: IngestExpectation, resuming kept: IngestStatus, _ data: consuming OwnedFD
  ) throws {
    CrashPoint.pass("ingest.described")
    let size = expected.size ?? 0
    try self.init(store, ref, hold, expected, startedAt: kept.startedAt, updatedAt: kept.updatedAt, total: size == 0 ? kept.total : size, data)
  }

  private init(
    _ store: LocalContentStore, _ ref: String, _ hold: LocalContentStore.Hold, _ expected: IngestExpectation, startedAt: Timestamp, updatedAt: Timestamp,
    total: Int64, _ data: consuming OwnedFD
  ) throws {
    let directory = store.ingestPath(ref)
    var hasher = Hasher(expected.digest?.algorithm ?? .sha256)
    let offset = try Self.hashExisting(data, &hasher, path: "\(directory)/data")
    self.store = store
    self.ref = ref
    self.hold = hold
    self.directory = directory
    self.expected = expected
    self.startedAt = startedAt
    self.total = total
    self.data = data
    self.state = Mutex(State(hasher: hasher, offset: offset, updatedAt: updatedAt))
  }

  /// A new ingest, made beside its place and put there whole: whoever lists or aborts meanwhile meets what was there before, or this.
  private static func make(
    _ store: LocalContentStore, _ ref: String, _ hold: LocalContentStore.Hold, _ expected: IngestExpectation, _ startedAt: Timestamp
  ) throws -> OwnedFD {
    let made = store.pathBeside(ref)
    try Files.makeDirectories(made, mode: 0o700)
    do {
      CrashPoint.pass("ingest.made")
      try Files.writeAtomically(Array(startedAt.description.utf8), to: "\(made)/startedat")
      if let size = expected.size { try Files.writeAtomically(Array(String(size).utf8), to: "\(made)/total") }
      if let digest = expected.digest { try Files.writeAtomically(Array(digest.description.utf8), to: "\(made)/expected") }
      try Files.writeAtomically(Array(ref.utf8), to: "\(made)/ref")
      let data = try Files.open("\(made)/data", O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
      CrashPoint.pass("ingest.described")
      if let old = try store.place(made, ref: ref, hold: hold, expected: expected) { try Files.removeTree(old) }
      return data
    } catch {
      // Nothing where it was put already; what cannot be removed goes when the store is opened.
      try? Files.removeTree(made)
      throw error
    }
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
    let (offset, updatedAt) = try state.withLock { state throws in
      try checkOpen(state.open)
      return (state.offset, state.updatedAt)
    }
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
          CrashPoint.pass("write.begun")
          var done = 0
          while done < bytes.count {
            done += try check("pwrite", "\(self.directory)/data") {
              bytes.withUnsafeBytes { pwrite(self.data.raw, $0.baseAddress! + done, $0.count - done, off_t(state.offset) + off_t(done)) }
            }
          }
          CrashPoint.pass("write.written")
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
          var hasher = Hasher(state.hasher.algorithm)
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

  func digest() async throws -> Digest {
    try state.withLock { state throws in
      try checkOpen(state.open)
      return state.hasher.digest()
    }
  }

  func commit(_ wanted: IngestExpectation, labels: Labels) async throws -> Digest {
    try labels.validateLabels()
    return try await store.pool.run {
      let (digest, size) = try self.state.withLock { state throws in
        try self.checkOpen(state.open)
        let digest = try self.digest(of: state, for: wanted)
        // Whatever comes out of it, this writer is done: no byte comes after those that were hashed.
        state.open = false
        return (digest, state.offset)
      }
      // A mismatch keeps the bytes for whoever wants to look.
      defer { self.store.release(self.ref, self.hold) }
      let target = wanted.or(self.expected)
      if let expected = target.size, expected != size {
        throw ContainerdError.failedPrecondition("ingest \(self.ref): unexpected commit size \(size), expected \(expected)")
      }
      if let expected = target.digest, expected != digest {
        throw ContainerdError.failedPrecondition("ingest \(self.ref): unexpected commit digest \(digest), expected \(expected)")
      }
      try self.flush()
      CrashPoint.pass("commit.flushed")
      let (existed, doomed) = try self.publish(digest, labels)
      do {
        if !existed { try Files.syncDirectory(Files.parent(of: self.store.blobPath(digest))) }
        CrashPoint.pass("commit.doomed")
        if let doomed { try Files.removeTree(doomed) }
      } catch { throw ContainerdError(error, "ingest \(self.ref): commit \(digest)") }
      if existed { throw ContainerdError.alreadyExists("content \(digest)") }
      return digest
    }
  }

  private func flush() throws {
    let path = "\(directory)/data"
    do {
      try check("fchmod", path) { fchmod(data.raw, 0o444) }
      try check("fsync", path) { fsync(data.raw) }
    } catch { throw ContainerdError(error, "ingest \(ref)") }
  }

  /// Gives the bytes their name, unless the blob is there, and takes the ingest away from its ref: one writer at a time, and only the ref's holder.
  private func publish(_ digest: Digest, _ labels: Labels) throws -> (existed: Bool, doomed: String?) {
    try store.held.withLock { held in
      guard held[ref] == hold else { throw aborted }
      let blob = store.blobPath(digest)
      let existed = Files.exists(blob)
      do {
        if !existed {
          if !labels.isEmpty { try store.writeLabels(labels, of: digest) }
          CrashPoint.pass("commit.labelled")
          try check("rename", blob) { rename("\(directory)/data", blob) }
          CrashPoint.pass("commit.renamed")
        }
        let doomed = try store.doom(ref)
        held[ref] = nil
        return (existed, doomed)
      } catch { throw ContainerdError(error, "ingest \(ref): commit \(digest)") }
    }
  }

  /// In the algorithm that is expected; only an expectation that comes with the commit can make it necessary to read the bytes again.
  private func digest(of state: borrowing State, for wanted: IngestExpectation) throws -> Digest {
    guard let algorithm = wanted.digest?.algorithm, algorithm != state.hasher.algorithm else { return state.hasher.digest() }
    var hasher = Hasher(algorithm)
    do { _ = try Self.hashExisting(data, &hasher, path: "\(directory)/data") } catch { throw ContainerdError(error, "ingest \(ref)") }
    return hasher.digest()
  }

  func close() async { finish() }

  private func finish() {
    let wasOpen = state.withLock { state in
      defer { state.open = false }
      return state.open
    }
    if wasOpen { store.release(ref, hold) }
  }

  /// Throws once the writer is closed, or when somebody aborted the ingest under it.
  private func checkOpen(_ open: Bool) throws {
    if !open { throw closed }
    if store.held.withLock({ $0[ref] }) != hold { throw aborted }
  }

  private var closed: ContainerdError { .failedPrecondition("ingest \(ref): the writer is closed") }
  private var aborted: ContainerdError { .notFound("ingest ref \(ref) (aborted)") }
}
