import Protocols
import Synchronization

/// A hash good enough to tell a test's blobs apart.
func testDigest(_ bytes: [UInt8]) -> Digest {
  var hash: [UInt8] = []
  for seed in UInt64(0)..<4 {
    var value: UInt64 = 0xcbf2_9ce4_8422_2325 ^ (seed &* 0x9e37_79b9_7f4a_7c15)
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    for shift in 0..<8 { hash.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(shift)))) }
  }
  return Digest(.sha256, hash: hash)
}

/// A content store in memory: the backend below the metadata.
final class ContentBackend: ContentStore {
  struct State {
    var blobs: [Digest: [UInt8]] = [:]
    var ingests: [String: [UInt8]] = [:]
    var held: Set<String> = []
    var failingDeletes: Set<Digest> = []
    /// Called between the end of an upload and its blob.
    var beforeCommit: (@Sendable () async throws -> Void)?
    /// Opened and written bytes, to see what was uploaded at all.
    var bytesWritten = 0
  }
  let state = Mutex(State())

  var digests: Set<Digest> { state.withLock { Set($0.blobs.keys) } }
  var refs: Set<String> { state.withLock { Set($0.ingests.keys) } }

  func info(_ digest: Digest) async throws -> ContentInfo {
    guard let bytes = state.withLock({ $0.blobs[digest] }) else { throw ContainerdError.notFound("content \(digest)") }
    return ContentInfo(digest: digest, size: Int64(bytes.count))
  }
  func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo { throw ContainerdError.notImplemented("labels live above") }
  func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    for (digest, bytes) in state.withLock({ $0.blobs }) { try await visit(ContentInfo(digest: digest, size: Int64(bytes.count))) }
  }
  func delete(_ digest: Digest) async throws {
    try state.withLock { state in
      if state.failingDeletes.contains(digest) { throw ContainerdError.unavailable("content \(digest): disk on fire") }
      if state.blobs.removeValue(forKey: digest) == nil { throw ContainerdError.notFound("content \(digest)") }
    }
  }
  func reader(_ digest: Digest) async throws -> any ContentReader {
    guard let bytes = state.withLock({ $0.blobs[digest] }) else { throw ContainerdError.notFound("content \(digest)") }
    return BackendReader(bytes: bytes)
  }
  func status(ref: String) async throws -> IngestStatus {
    guard let bytes = state.withLock({ $0.ingests[ref] }) else { throw ContainerdError.notFound("ingest ref \(ref)") }
    return IngestStatus(ref: ref, offset: Int64(bytes.count), total: 0, expected: nil, startedAt: .never, updatedAt: .never)
  }
  func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    state.withLock { state in
      state.ingests.map { IngestStatus(ref: $0, offset: Int64($1.count), total: 0, expected: nil, startedAt: .never, updatedAt: .never) }
    }.filter(filters.matches)
  }
  func abort(ref: String) async throws {
    try state.withLock { state in
      if state.ingests.removeValue(forKey: ref) == nil { throw ContainerdError.notFound("ingest ref \(ref)") }
      state.held.remove(ref)
    }
  }
  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    try state.withLock { state in
      if let digest = expected.digest, state.blobs[digest] != nil { throw ContainerdError.alreadyExists("content \(digest)") }
      if !state.held.insert(ref).inserted { throw ContainerdError.unavailable("ref \(ref) locked") }
      state.ingests[ref, default: []] += []
    }
    return BackendWriter(store: self, ref: ref)
  }
}

struct BackendReader: ContentReader {
  let bytes: [UInt8]
  var size: Int64 { Int64(bytes.count) }
  func read(at offset: Int64, count: Int) async throws -> [UInt8] {
    Array(bytes.dropFirst(Int(offset)).prefix(count))
  }
  func close() async {}
}

struct BackendWriter: ContentWriter {
  let store: ContentBackend
  let ref: String

  private func change<Value>(_ body: (inout [UInt8]) throws -> Value) throws -> Value {
    try store.state.withLock { state in
      guard var bytes = state.ingests[ref] else { throw ContainerdError.notFound("ingest ref \(ref)") }
      let value = try body(&bytes)
      state.ingests[ref] = bytes
      return value
    }
  }
  func status() async throws -> IngestStatus { try await store.status(ref: ref) }
  func write(_ bytes: [UInt8], at offset: Int64?) async throws {
    try change { held in
      if let offset, offset != held.count { throw ContainerdError.outOfRange("ingest \(ref): write at \(offset) of \(held.count)") }
      held += bytes
    }
    store.state.withLock { $0.bytesWritten += bytes.count }
  }
  func truncate(to offset: Int64) async throws {
    try change { bytes in
      if offset < 0 || offset > bytes.count { throw ContainerdError.outOfRange("ingest \(ref): truncate") }
      bytes.removeLast(bytes.count - Int(offset))
    }
  }
  func digest() async throws -> Digest { try change { testDigest($0) } }
  func commit(_ expected: IngestExpectation, labels: Labels) async throws -> Digest {
    let bytes = try change { $0 }
    let digest = testDigest(bytes)
    await close()
    try await store.state.withLock { $0.beforeCommit }?()
    if let size = expected.size, size != bytes.count { throw ContainerdError.failedPrecondition("ingest \(ref): unexpected commit size") }
    if let wanted = expected.digest, wanted != digest { throw ContainerdError.failedPrecondition("ingest \(ref): unexpected commit digest") }
    return try store.state.withLock { state in
      state.ingests[ref] = nil
      if state.blobs[digest] != nil { throw ContainerdError.alreadyExists("content \(digest)") }
      state.blobs[digest] = bytes
      return digest
    }
  }
  func close() async { store.state.withLock { _ = $0.held.remove(ref) } }
}
