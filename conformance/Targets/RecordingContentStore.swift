import ConformanceKit
import Protocols

/// Writes down every call, with the line of `ctr` that makes the same where there is one.
struct RecordingContentStore: ContentStore {
  let base: any ContentStore
  let record: Record
  /// `ctr --address SOCK -n NS content`, as words.
  let tool: [String]

  func recorded<Value>(
    _ text: String, _ words: [String] = [], told: (Value) -> String = { _ in "" }, _ body: () async throws -> Value
  ) async throws -> Value {
    let command = words.isEmpty ? "" : Shell.line(tool + words)
    do {
      let value = try await body()
      record.add(text, command: command, outcome: told(value))
      return value
    } catch {
      record.add(text, command: command, outcome: "\(error)")
      throw error
    }
  }

  func info(_ digest: Digest) async throws -> ContentInfo {
    try await recorded("info of \(digest)", ["ls", "-q", "digest==\(digest)"], told: { "\($0.size) bytes, labels \($0.labels)" }) {
      try await base.info(digest)
    }
  }
  func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo {
    let labels = info.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    return try await recorded(
      "update \(info.digest) to the labels \(labels), mask \(fields.paths)", ["label", "\(info.digest)"] + labels, told: { "labels \($0.labels)" }
    ) { try await base.update(info, fields: fields) }
  }
  func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    try await recorded("walk", ["ls", "-q"]) { try await base.walk(filters, visit) }
  }
  func delete(_ digest: Digest) async throws { try await recorded("delete \(digest)", ["rm", "\(digest)"]) { try await base.delete(digest) } }
  func status(ref: String) async throws -> IngestStatus {
    try await recorded("status of the ingest \"\(ref)\"", ["active"], told: { "offset \($0.offset) of \($0.total)" }) { try await base.status(ref: ref) }
  }
  func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    try await recorded("statuses", ["active"], told: { "\($0.map(\.ref))" }) { try await base.statuses(filters) }
  }
  func abort(ref: String) async throws { try await recorded("abort \"\(ref)\"") { try await base.abort(ref: ref) } }
  func reader(_ digest: Digest) async throws -> any ContentReader {
    try await recorded("open \(digest)", ["get", "\(digest)"], told: { "\($0.size) bytes" }) { try await base.reader(digest) }
  }
  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    let wanted = "\(expected.digest.map { " of \($0)" } ?? "")\(expected.size.map { " of \($0) bytes" } ?? "")"
    let writer = try await recorded("open the ingest \"\(ref)\"\(wanted)") { try await base.writer(ref: ref, expected: expected) }
    return RecordingWriter(base: writer, ref: ref, store: self)
  }
}

private struct RecordingWriter: ContentWriter {
  let base: any ContentWriter
  let ref: String
  let store: RecordingContentStore

  func status() async throws -> IngestStatus { try await base.status() }
  func write(_ bytes: [UInt8], at offset: Int64?) async throws {
    try await store.recorded("write \(bytes.count) bytes to \"\(ref)\"\(offset.map { " at \($0)" } ?? "")") { try await base.write(bytes, at: offset) }
  }
  func truncate(to offset: Int64) async throws {
    try await store.recorded("truncate \"\(ref)\" to \(offset)") { try await base.truncate(to: offset) }
  }
  func digest() async throws -> Digest { try await store.recorded("digest of \"\(ref)\"", told: { "\($0)" }) { try await base.digest() } }
  /// The whole of what `ctr` can do is in one line: `content ingest` with bytes from standard input.
  func commit(_ expected: IngestExpectation, labels: Labels) async throws -> Digest {
    let words =
      ["ingest"] + (expected.size.map { ["--expected-size", "\($0)"] } ?? []) + (expected.digest.map { ["--expected-digest", "\($0)"] } ?? []) + [ref]
    return try await store.recorded("commit \"\(ref)\" with the labels \(labels)", words, told: { "\($0)" }) { try await base.commit(expected, labels: labels) }
  }
  func close() async {
    store.record.add("close \"\(ref)\"")
    await base.close()
  }
}
