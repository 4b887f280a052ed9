import Protocols

/// Any content store, with all that is asked of it on a tape.
struct RecordedContentStore: ContentStore {
  let base: any ContentStore
  let tape: Tape

  func info(_ digest: Digest) async throws -> ContentInfo {
    try await tape.perform(.content, "info", ["\(digest)"]) { try await base.info(digest) }
  }
  func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo {
    try await tape.perform(.content, "update", ["\(info.digest)"] + info.labels.words) { try await base.update(info, fields: fields) }
  }
  func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    try await tape.perform(.content, "walk", []) { try await base.walk(filters, visit) }
  }
  func delete(_ digest: Digest) async throws { try await tape.perform(.content, "delete", ["\(digest)"]) { try await base.delete(digest) } }
  func status(ref: String) async throws -> IngestStatus { try await tape.perform(.content, "status", [ref]) { try await base.status(ref: ref) } }
  func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    try await tape.perform(.content, "statuses", []) { try await base.statuses(filters) }
  }
  func abort(ref: String) async throws { try await tape.perform(.content, "abort", [ref]) { try await base.abort(ref: ref) } }

  func reader(_ digest: Digest) async throws -> any ContentReader {
    try await tape.perform(.content, "reader", ["\(digest)"]) {
      RecordedReader(base: try await base.reader(digest), tape: tape, id: tape.opened("a reader of \(digest)"), digest: digest)
    }
  }
  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    try await tape.perform(.content, "writer", [ref, expected.digest?.description ?? "", expected.size.map(String.init) ?? ""]) {
      RecordedWriter(base: try await base.writer(ref: ref, expected: expected), tape: tape, id: tape.opened("the writer of \(ref)"), ref: ref)
    }
  }
}

private struct RecordedReader: ContentReader {
  let base: any ContentReader
  let tape: Tape
  let id: Int
  let digest: Digest

  var size: Int64 { base.size }
  func read(at offset: Int64, count: Int) async throws -> [UInt8] {
    try await tape.perform(.content, "read", ["\(digest)", "\(offset)", "\(count)"]) { try await base.read(at: offset, count: count) }
  }
  func close() async {
    await base.close()
    tape.closed(id)
  }
}

private struct RecordedWriter: ContentWriter {
  let base: any ContentWriter
  let tape: Tape
  let id: Int
  let ref: String

  func status() async throws -> IngestStatus { try await base.status() }
  func write(_ bytes: [UInt8], at offset: Int64?) async throws {
    try await tape.perform(.content, "write", [ref, "\(bytes.count)", offset.map(String.init) ?? ""]) { try await base.write(bytes, at: offset) }
  }
  func truncate(to offset: Int64) async throws {
    try await tape.perform(.content, "truncate", [ref, "\(offset)"]) { try await base.truncate(to: offset) }
  }
  func digest() async throws -> Digest { try await base.digest() }
  func commit(_ expected: IngestExpectation, labels: Labels) async throws -> Digest {
    let digest = try await tape.perform(
      .content, "commit", [ref, expected.digest?.description ?? ""] + labels.words, told: { (digest: Digest, call) in call.answer = "\(digest)" }
    ) { try await base.commit(expected, labels: labels) }
    tape.closed(id)
    return digest
  }
  func close() async {
    await base.close()
    tape.closed(id)
  }
}
