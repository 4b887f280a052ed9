import Hashing
import Protocols
import Synchronization

/// The holder of an ingest: it is the one while the ingest says so. An aborted ingest says nothing any more, so an abort wins.
final class InMemoryContentWriter: ContentWriter {
  private let store: InMemoryContentStore
  private let ref: String
  private let id: Int
  private let expected: IngestExpectation
  private let open = Mutex(true)

  init(store: InMemoryContentStore, ref: String, id: Int, expected: IngestExpectation) {
    self.store = store
    self.ref = ref
    self.id = id
    self.expected = expected
  }

  /// A writer that everybody has forgotten holds nothing.
  deinit { finish() }

  func status() async throws -> IngestStatus { try withIngest { $0.status(ref) } }

  func write(_ bytes: [UInt8], at offset: Int64?) async throws {
    let after = try await store.instrument.enter("write", ref, "\(bytes.count)", offset.map(String.init) ?? "")
    let time = store.time()
    try withIngest { ingest in
      if let offset, offset != Int64(ingest.bytes.count) {
        throw ContainerdError.outOfRange("ingest \(ref): write at \(offset) must occur at current offset \(ingest.bytes.count)")
      }
      ingest.bytes += bytes
      ingest.updatedAt = time
    }
    try after.finish()
  }

  func truncate(to offset: Int64) async throws {
    try await store.instrument.enter("truncate", ref, "\(offset)")
    try withIngest { ingest in
      guard (0...Int64(ingest.bytes.count)).contains(offset) else {
        throw ContainerdError.outOfRange("ingest \(ref): truncate to \(offset) of \(ingest.bytes.count) bytes")
      }
      ingest.bytes.removeLast(ingest.bytes.count - Int(offset))
    }
  }

  func digest() async throws -> Digest {
    try await store.instrument.enter("digest", ref)
    return Digest.of(try withIngest { $0.bytes }, expected.digest?.algorithm ?? .sha256)
  }

  func commit(_ wanted: IngestExpectation, labels: Labels) async throws -> Digest {
    let after = try await store.instrument.enter("commit", ref, wanted.digest?.description ?? "")
    try labels.validateLabels()
    // Whatever comes out of it, this writer is done: no byte comes after those that are hashed.
    let bytes = try withIngest { ingest in
      open.withLock { $0 = false }
      return ingest.bytes
    }
    let target = wanted.or(expected)
    let digest = Digest.of(bytes, target.digest?.algorithm ?? .sha256)
    defer { finish() }
    if let size = target.size, size != Int64(bytes.count) {
      throw ContainerdError.failedPrecondition("ingest \(ref): unexpected commit size \(bytes.count), expected \(size)")
    }
    if let expected = target.digest, expected != digest {
      throw ContainerdError.failedPrecondition("ingest \(ref): unexpected commit digest \(digest), expected \(expected)")
    }
    let time = store.time()
    try store.state.withLock { state in
      guard state.ingests[ref]?.holder == id else { throw aborted }
      state.ingests[ref] = nil
      if state.blobs[digest] != nil { throw ContainerdError.alreadyExists("content \(digest)") }
      let info = ContentInfo(digest: digest, size: Int64(bytes.count), createdAt: time, updatedAt: time, labels: labels)
      state.blobs[digest] = InMemoryContentStore.Blob(bytes: bytes, info: info)
    }
    try after.finish()
    return digest
  }

  func close() async {
    store.instrument.trace.record(component: store.instrument.component, operation: "close", arguments: [ref])
    finish()
  }

  private func finish() {
    open.withLock { $0 = false }
    store.state.withLock { state in
      if state.ingests[ref]?.holder == id { state.ingests[ref]?.holder = nil }
    }
  }

  /// The ingest, to look at or change, if this writer still holds it.
  private func withIngest<Value>(_ body: (inout InMemoryContentStore.Ingest) throws -> Value) throws -> Value {
    try store.state.withLock { state in
      if !open.withLock({ $0 }) { throw ContainerdError.failedPrecondition("ingest \(ref): the writer is closed") }
      guard var ingest = state.ingests[ref], ingest.holder == id else { throw aborted }
      // Taken out first: appending to bytes that the dictionary still shares would copy them each time.
      state.ingests[ref]?.bytes = []
      defer { state.ingests[ref] = ingest }
      return try body(&ingest)
    }
  }

  private var aborted: ContainerdError { .notFound("ingest ref \(ref) (aborted)") }
}
