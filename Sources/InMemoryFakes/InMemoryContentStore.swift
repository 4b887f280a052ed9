import Hashing
import Protocols
import Synchronization

/// The content store of the contract, in memory. Trace and fault names: `content.info`, `.update`, `.walk`, `.delete`, `.status`,
/// `.statuses`, `.abort`, `.reader`, `.read`, `.writer`, `.write`, `.truncate`, `.digest`, `.commit`, `.close`.
public final class InMemoryContentStore: ContentStore {
  struct Blob {
    var bytes: [UInt8]
    var info: ContentInfo
  }
  struct Ingest {
    var bytes: [UInt8] = []
    var total: Int64 = 0
    var expected: Digest?
    var startedAt: Timestamp
    var updatedAt: Timestamp
    /// The writer that holds the ref, and since when.
    var holder: Int?
    var heldSince = Timestamp.never

    func status(_ ref: String) -> IngestStatus {
      IngestStatus(ref: ref, offset: Int64(bytes.count), total: total, expected: expected, startedAt: startedAt, updatedAt: updatedAt)
    }
  }
  struct State {
    var blobs: [Digest: Blob] = [:]
    var ingests: [String: Ingest] = [:]
    var lastWriter = 0
  }

  let instrument: Instrument
  let state = Mutex(State())
  private let now: @Sendable () -> Timestamp
  private let lastTime = Mutex(Timestamp.never)

  public init(
    trace: CallTrace = CallTrace(), faults: FaultPlan = FaultPlan(), component: String = "content", now: @escaping @Sendable () -> Timestamp = Timestamp.now
  ) {
    self.instrument = Instrument(component: component, trace: trace, faults: faults)
    self.now = now
  }

  /// Puts a blob there without a writer, for tests that begin with one. Not traced.
  @discardableResult
  public func add(_ bytes: [UInt8], labels: Labels = [:]) -> Digest {
    let digest = Digest.of(bytes)
    let time = time()
    state.withLock {
      $0.blobs[digest] = Blob(bytes: bytes, info: ContentInfo(digest: digest, size: Int64(bytes.count), createdAt: time, updatedAt: time, labels: labels))
    }
    return digest
  }

  /// Everything there is. Not traced.
  public var digests: Set<Digest> { state.withLock { Set($0.blobs.keys) } }

  /// A blob's bytes, nil if there is none. Not traced.
  public func bytes(_ digest: Digest) -> [UInt8]? { state.withLock { $0.blobs[digest]?.bytes } }

  /// Later than every time given before, however coarse the clock: an update is always seen to be one.
  func time() -> Timestamp {
    let now = now()
    return lastTime.withLock { last in
      last =
        now > last ? now : last.nanoseconds < 999_999_999 ? Timestamp(seconds: last.seconds, nanoseconds: last.nanoseconds + 1) : last.advanced(bySeconds: 1)
      return last
    }
  }

  public func info(_ digest: Digest) async throws -> ContentInfo {
    try await instrument.enter("info", digest.description)
    return try state.withLock { try Self.blob($0, digest).info }
  }

  public func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo {
    let after = try await instrument.enter("update", info.digest.description, fields.paths.joined(separator: " "))
    try fields.validate(object: "content \(info.digest)")
    let updated = try state.withLock { state in
      var blob = try Self.blob(state, info.digest)
      blob.info.labels = fields.updatedLabels(of: blob.info.labels, from: info.labels)
      try blob.info.labels.validateLabels()
      blob.info.updatedAt = time()
      state.blobs[info.digest] = blob
      return blob.info
    }
    try after.finish()
    return updated
  }

  public func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    try await instrument.enter("walk")
    let infos = state.withLock { $0.blobs.values.map(\.info) }
    for info in infos where filters.matches(info) { try await visit(info) }
  }

  public func delete(_ digest: Digest) async throws {
    let after = try await instrument.enter("delete", digest.description)
    try state.withLock { state in
      _ = try Self.blob(state, digest)
      state.blobs[digest] = nil
    }
    try after.finish()
  }

  public func reader(_ digest: Digest) async throws -> any ContentReader {
    try await instrument.enter("reader", digest.description)
    let bytes = try state.withLock { try Self.blob($0, digest).bytes }
    return InMemoryContentReader(digest: digest, bytes: bytes, instrument: instrument)
  }

  private static func blob(_ state: State, _ digest: Digest) throws -> Blob {
    guard let blob = state.blobs[digest] else { throw ContainerdError.notFound("content \(digest)") }
    return blob
  }
}

extension InMemoryContentStore {
  public func status(ref: String) async throws -> IngestStatus {
    try await instrument.enter("status", ref)
    return try state.withLock { state in
      guard let ingest = state.ingests[ref] else { throw ContainerdError.notFound("ingest ref \(ref)") }
      return ingest.status(ref)
    }
  }

  public func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    try await instrument.enter("statuses")
    return state.withLock { $0.ingests.map { $1.status($0) } }.filter(filters.matches)
  }

  public func abort(ref: String) async throws {
    let after = try await instrument.enter("abort", ref)
    try state.withLock { state in
      if state.ingests.removeValue(forKey: ref) == nil { throw ContainerdError.notFound("ingest ref \(ref)") }
    }
    try after.finish()
  }

  public func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    let after = try await instrument.enter("writer", ref, expected.digest?.description ?? "", expected.size.map(String.init) ?? "")
    if ref.isEmpty { throw ContainerdError.invalidArgument("ref must not be empty") }
    let time = time()
    let id = try state.withLock { state in
      if let digest = expected.digest, state.blobs[digest] != nil { throw ContainerdError.alreadyExists("content \(digest)") }
      var ingest = state.ingests[ref] ?? Ingest(startedAt: time, updatedAt: time)
      if ingest.holder != nil { throw ContainerdError.unavailable("ref \(ref) locked since \(ingest.heldSince)") }
      if let size = expected.size {
        if ingest.total != 0 && ingest.total != size { ingest = Ingest(startedAt: time, updatedAt: time) }
        ingest.total = size
      }
      if let digest = expected.digest { ingest.expected = digest }
      state.lastWriter += 1
      ingest.holder = state.lastWriter
      ingest.heldSince = time
      state.ingests[ref] = ingest
      return state.lastWriter
    }
    let writer = InMemoryContentWriter(store: self, ref: ref, id: id, expected: expected)
    try after.finish()
    return writer
  }
}
