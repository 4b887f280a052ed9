import Protocols

/// Any content store, with its calls recorded as those of `InMemoryContentStore` are.
public struct TracedContentStore: ContentStore {
  private let store: any ContentStore
  private let recorder: Recorder

  public init(_ store: any ContentStore, trace: CallTrace, component: String = "content") {
    self.store = store
    self.recorder = Recorder(component: component, trace: trace)
  }

  public func info(_ digest: Digest) async throws -> ContentInfo {
    recorder("info", "\(digest)")
    return try await store.info(digest)
  }

  public func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo {
    recorder("update", "\(info.digest)", fields.paths.joined(separator: " "))
    return try await store.update(info, fields: fields)
  }

  public func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    recorder("walk")
    try await store.walk(filters, visit)
  }

  public func delete(_ digest: Digest) async throws {
    recorder("delete", "\(digest)")
    try await store.delete(digest)
  }

  public func status(ref: String) async throws -> IngestStatus {
    recorder("status", ref)
    return try await store.status(ref: ref)
  }

  public func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    recorder("statuses")
    return try await store.statuses(filters)
  }

  public func abort(ref: String) async throws {
    recorder("abort", ref)
    try await store.abort(ref: ref)
  }

  public func reader(_ digest: Digest) async throws -> any ContentReader {
    recorder("reader", "\(digest)")
    return TracedReader(reader: try await store.reader(digest), digest: digest, recorder: recorder)
  }

  public func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    recorder("writer", ref, expected.digest?.description ?? "", expected.size.map(String.init) ?? "")
    return TracedWriter(writer: try await store.writer(ref: ref, expected: expected), ref: ref, recorder: recorder)
  }
}

/// Writes calls down under one component's name.
struct Recorder: Sendable {
  let component: String
  let trace: CallTrace
  func callAsFunction(_ operation: String, _ arguments: String...) {
    trace.record(component: component, operation: operation, arguments: arguments)
  }
}

private struct TracedReader: ContentReader {
  let reader: any ContentReader
  let digest: Digest
  let recorder: Recorder

  var size: Int64 { reader.size }
  func read(at offset: Int64, count: Int) async throws -> [UInt8] {
    recorder("read", "\(digest)", "\(offset)", "\(count)")
    return try await reader.read(at: offset, count: count)
  }
  func close() async { await reader.close() }
}

private struct TracedWriter: ContentWriter {
  let writer: any ContentWriter
  let ref: String
  let recorder: Recorder

  func status() async throws -> IngestStatus { try await writer.status() }
  func write(_ bytes: [UInt8], at offset: Int64?) async throws {
    recorder("write", ref, "\(bytes.count)", offset.map(String.init) ?? "")
    try await writer.write(bytes, at: offset)
  }
  func truncate(to offset: Int64) async throws {
    recorder("truncate", ref, "\(offset)")
    try await writer.truncate(to: offset)
  }
  func digest() async throws -> Digest {
    recorder("digest", ref)
    return try await writer.digest()
  }
  func commit(_ expected: IngestExpectation, labels: Labels) async throws -> Digest {
    recorder("commit", ref, expected.digest?.description ?? "")
    return try await writer.commit(expected, labels: labels)
  }
  func close() async {
    recorder("close", ref)
    await writer.close()
  }
}
