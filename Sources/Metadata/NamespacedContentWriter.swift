import Protocols
import Synchronization
import SystemKit

/// The open end of an ingest of a namespace.
///
/// It uploads to the backend; or, where the backend has the bytes through another namespace, it is *linked*: complete from the start, its
/// commit adds the name only. A caller that cuts or adds to a linked one gets an upload that begins with those bytes.
final class NamespacedContentWriter: ContentWriter {
  enum Mode: Sendable {
    case linked(ContentInfo)
    case uploading(any ContentWriter)
    case closed
  }

  private let owner: NamespacedContentStore
  private let ref: String
  private let hold: IngestHolds.Hold
  private let expected: IngestExpectation
  private let startedAt: Timestamp
  private let mode: Mutex<Mode>
  /// Calls that overlap run one after another.
  private let turn = Gate()
  private static let copyChunk = 1 << 20

  init(owner: NamespacedContentStore, ref: String, hold: IngestHolds.Hold, expected: IngestExpectation, startedAt: Timestamp, mode: Mode) {
    self.owner = owner
    self.ref = ref
    self.hold = hold
    self.expected = expected
    self.startedAt = startedAt
    self.mode = Mutex(mode)
  }

  func status() async throws -> IngestStatus {
    try await call { mode in
      switch mode {
      case .linked(let present):
        return IngestStatus(
          ref: ref, offset: present.size, total: present.size, expected: present.digest, startedAt: startedAt, updatedAt: startedAt)
      case .uploading(let backend):
        var status = try await backend.status()
        status.ref = ref
        status.expected = expected.digest
        return status
      case .closed: throw closedError
      }
    }
  }

  func write(_ bytes: [UInt8], at offset: Int64?) async throws {
    try await call { mode in
      if case .linked(let present) = mode {
        if let offset, offset != present.size {
          throw ContainerdError.outOfRange("ingest \(ref): write at \(offset) must occur at current offset \(present.size)")
        }
        if bytes.isEmpty { return }
        try await unlink(present, keeping: present.size).write(bytes, at: offset)
      } else {
        try await uploading(mode).write(bytes, at: offset)
      }
    }
  }

  func truncate(to offset: Int64) async throws {
    try await call { mode in
      if case .linked(let present) = mode {
        if offset < 0 || offset > present.size { throw ContainerdError.outOfRange("ingest \(ref): truncate to \(offset) of \(present.size) bytes") }
        if offset < present.size { _ = try await unlink(present, keeping: offset) }
      } else {
        try await uploading(mode).truncate(to: offset)
      }
    }
  }

  func digest() async throws -> Digest {
    try await call { mode in
      if case .linked(let present) = mode { return present.digest }
      return try await uploading(mode).digest()
    }
  }

  func commit(_ wanted: IngestExpectation, labels: Labels) async throws -> Digest {
    try labels.validateLabels()
    return try await turn.closing {
      let mode = mode.withLock { $0 }
      do {
        let digest: Digest
        switch mode {
        case .linked(let present): digest = try await commitLink(present, wanted, labels)
        case .uploading(let backend): digest = try await renamed(hold.backendRef, ref) { try await commitUpload(backend, wanted, labels) }
        case .closed: throw closedError
        }
        await end()
        return digest
      } catch {
        // Whatever came of it, this writer is done; what a mismatch leaves behind stays for a resume.
        await end()
        throw error
      }
    }
  }

  func close() async {
    // The gate throws what its body throws, and this body throws nothing.
    do { try await turn.closing { await end() } } catch { preconditionFailure("closing ingest \(ref): \(error)") }
  }

  // MARK: commits

  private func commitUpload(_ backend: any ContentWriter, _ wanted: IngestExpectation, _ labels: Labels) async throws -> Digest {
    let target = wanted.or(expected)
    return try await owner.store.contentGate.passing {
      let size = try await backend.status().offset
      // An expected digest names the algorithm too; the backend's commit checks it.
      let digest: Digest
      if let wanted = target.digest { digest = wanted } else { digest = try await backend.digest() }
      // The lease may be gone by now; learn it before the bytes are moved.
      try await owner.store.read { [scope = owner.scope] in try $0.requireLease(scope) }
      do {
        _ = try await backend.commit(target, labels: [:])
      } catch let error as ContainerdError where error.code == .alreadyExists {
        // The bytes came by another way meanwhile; what counts is this namespace's name for them.
      }
      CrashPoint.pass("metadata.blob")
      return try await name(digest, size: size, labels)
    }
  }

  private func commitLink(_ present: ContentInfo, _ wanted: IngestExpectation, _ labels: Labels) async throws -> Digest {
    try check(wanted, size: present.size, digest: present.digest)
    return try await owner.store.contentGate.passing {
      // The other namespace may have let go of it, and a collection may have run, since the writer was opened.
      _ = try await owner.store.backendContent.info(present.digest)
      return try await name(present.digest, size: present.size, labels)
    }
  }

  private func name(_ digest: Digest, size: Int64, _ labels: Labels) async throws -> Digest {
    let had = try await owner.record(digest, size: size, labels: labels, ref: ref, backendRef: hold.backendRef)
    if had { throw ContainerdError.alreadyExists("content \(digest)") }
    owner.store.publish(.contentCreate(digest: digest, size: size, mediaType: ""), in: owner.scope.namespace)
    return digest
  }

  private func check(_ wanted: IngestExpectation, size: Int64, digest: Digest) throws {
    if let wanted = wanted.size, wanted != size {
      throw ContainerdError.failedPrecondition("ingest \(ref): unexpected commit size \(size), expected \(wanted)")
    }
    if let wanted = wanted.digest, wanted != digest {
      throw ContainerdError.failedPrecondition("ingest \(ref): unexpected commit digest \(digest), expected \(wanted)")
    }
  }

  // MARK: modes

  private func call<Value: Sendable>(_ body: (Mode) async throws -> Value) async throws -> Value {
    try await turn.closing {
      let mode = mode.withLock { $0 }
      if case .closed = mode { throw closedError }
      if !owner.store.holds.isCurrent(hold) {
        // Not before its row is gone as well: whoever hears of the abort must find it done.
        try await owner.store.write { _ in }
        throw ContainerdError.notFound("ingest ref \(ref)")
      }
      return try await renamed(hold.backendRef, ref) { try await body(mode) }
    }
  }

  private func uploading(_ mode: Mode) throws -> any ContentWriter {
    guard case .uploading(let backend) = mode else { throw closedError }
    return backend
  }

  /// Begins an upload with the first bytes of the blob that was there.
  private func unlink(_ present: ContentInfo, keeping count: Int64) async throws -> any ContentWriter {
    let backend = try await owner.backendWriter(ref, hold.backendRef, size: nil)
    do {
      // An earlier, unfinished upload of this ref may have left bytes.
      try await backend.truncate(to: 0)
      if count > 0 {
        let reader = try await owner.store.backendContent.reader(present.digest)
        do { try await copy(count, from: reader, to: backend) } catch {
          await reader.close()
          throw error
        }
        await reader.close()
      }
    } catch {
      await backend.close()
      throw error
    }
    mode.withLock { $0 = .uploading(backend) }
    return backend
  }

  private func copy(_ count: Int64, from reader: any ContentReader, to backend: any ContentWriter) async throws {
    var offset: Int64 = 0
    while offset < count {
      let bytes = try await reader.read(at: offset, count: Int(min(Int64(Self.copyChunk), count - offset)))
      if bytes.isEmpty { throw ContainerdError(.dataLoss, "ingest \(ref): the blob to begin with ends at \(offset) of \(count) bytes") }
      try await backend.write(bytes, at: offset)
      offset += Int64(bytes.count)
    }
  }

  private func end() async {
    let last = mode.withLock { mode in
      defer { mode = .closed }
      return mode
    }
    if case .uploading(let backend) = last { await backend.close() }
    owner.store.holds.release(hold)
  }

  private var closedError: ContainerdError { .failedPrecondition("ingest \(ref): the writer is closed") }
}
