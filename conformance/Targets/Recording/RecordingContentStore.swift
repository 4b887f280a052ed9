import ConformanceKit
import ContainerdAPI
import Foundation
import Protocols
import SwiftProtobuf
import Synchronization

/// Writes down every call, with the line of `ctr` that makes the same where there is one.
struct RecordingContentStore: ContentStore {
  let base: any ContentStore
  let record: Record
  /// `ctr --address SOCK -n NS content`, as words.
  let tool: [String]
  let answers: Answers

  func recorded<Value>(
    _ text: String, _ words: [String] = [], script: [String] = [], told: (Value) -> String = { _ in "" }, answer: (Value) -> String = { _ in "ok" },
    _ body: () async throws -> Value
  ) async throws -> Value {
    let command = words.isEmpty || tool.isEmpty ? "" : Shell.line(tool + words)
    let call = script.isEmpty ? nil : Shell.line(script)
    record.begins(text)
    defer { record.ends(text) }
    do {
      let value = try await body()
      record.add(text, command: command, outcome: told(value), script: call, answer: answer(value))
      return value
    } catch {
      record.add(text, command: command, outcome: "\(error)", script: call, answer: Answers.refusal(error))
      throw error
    }
  }

  func info(_ digest: Digest) async throws -> ContentInfo {
    let request = Containerd_Services_Content_V1_InfoRequest.with { $0.digest = "\(digest)" }
    return try await recorded(
      "info of \(digest)", ["ls", "-q", "digest==\(digest)"], script: ["content_info", GRPCFrame.hex(request)],
      told: { "\($0.size) bytes, labels \($0.labels)" }, answer: answers.of
    ) { try await base.info(digest) }
  }
  func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo {
    let labels = info.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    let request = Containerd_Services_Content_V1_UpdateRequest.with {
      $0.info.digest = "\(info.digest)"
      $0.info.labels = info.labels
      $0.updateMask.paths = fields.paths
    }
    return try await recorded(
      "update \(info.digest) to the labels \(labels), mask \(fields.paths)", ["label", "\(info.digest)"] + labels,
      script: ["content_update", GRPCFrame.hex(request)], told: { "labels \($0.labels)" }, answer: answers.of
    ) { try await base.update(info, fields: fields) }
  }
  func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    let all = Gathering<ContentInfo>()
    let request = Containerd_Services_Content_V1_ListContentRequest()
    _ = try await recorded(
      "walk", ["ls", "-q"], script: ["content_walk", GRPCFrame.hex(request)],
      told: { (_: [ContentInfo]) in "" }, answer: { Answers.list($0.map(Answers.facts)) }
    ) {
      if !tool.isEmpty {
        try await base.walk(filters) {
          await all.append($0)
          try await visit($0)
        }
      } else {
        // A script asks for everything: filters are the client's, and cannot be read from here.
        try await base.walk(filters, visit)
        try await base.walk(.all) { await all.append($0) }
      }
      return await all.items
    }
  }
  func delete(_ digest: Digest) async throws {
    try await recorded("delete \(digest)", ["rm", "\(digest)"], script: ["content_delete", "\(digest)"]) {
      try await base.delete(digest)
      answers.forget(blob: digest)
    }
  }
  func status(ref: String) async throws -> IngestStatus {
    let request = Containerd_Services_Content_V1_StatusRequest.with { $0.ref = ref }
    return try await recorded(
      "status of the ingest \"\(ref)\"", ["active"], script: ["content_status", GRPCFrame.hex(request)], told: { "offset \($0.offset) of \($0.total)" },
      answer: Self.facts
    ) { try await base.status(ref: ref) }
  }
  func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    let request = Containerd_Services_Content_V1_ListStatusesRequest()
    return try await recorded(
      "statuses", ["active"], script: ["content_statuses", GRPCFrame.hex(request)], told: { "\($0.map(\.ref))" },
      answer: { Answers.list($0.map(Self.facts)) }
    ) { try await base.statuses(filters) }
  }
  private static func facts(_ status: IngestStatus) -> String { "\(status.ref) at \(status.offset) of \(status.total)" }
  func abort(ref: String) async throws {
    let request = Containerd_Services_Content_V1_AbortRequest.with { $0.ref = ref }
    try await recorded("abort \"\(ref)\"", script: ["content_abort", GRPCFrame.hex(request)]) { try await base.abort(ref: ref) }
  }
  func reader(_ digest: Digest) async throws -> any ContentReader {
    let request = Containerd_Services_Content_V1_InfoRequest.with { $0.digest = "\(digest)" }
    let reader = try await recorded(
      "open \(digest)", ["get", "\(digest)"], script: ["content_size", GRPCFrame.hex(request)], told: { "\($0.size) bytes" },
      answer: { "size \($0.size)" }
    ) { try await base.reader(digest) }
    return RecordingReader(base: reader, digest: digest, store: self)
  }
  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    let wanted = "\(expected.digest.map { " of \($0)" } ?? "")\(expected.size.map { " of \($0) bytes" } ?? "")"
    let open = RecordingWriter.opening(ref, expected)
    let opened = try await recorded(
      "open the ingest \"\(ref)\"\(wanted)", script: ["content_write", GRPCFrame.hex(open)],
      answer: { (pair: (any ContentWriter, Int64)) in "at \(pair.1)" }
    ) {
      let writer = try await base.writer(ref: ref, expected: expected)
      return (writer, try await writer.status().offset)
    }
    return RecordingWriter(base: opened.0, ref: ref, open: open, store: self, offset: opened.1)
  }
}

private struct RecordingReader: ContentReader {
  let base: any ContentReader
  let digest: Digest
  let store: RecordingContentStore
  var size: Int64 { base.size }

  func read(at offset: Int64, count: Int) async throws -> [UInt8] {
    // What lies outside of the blob is not asked for: clients answer that themselves.
    let wanted = max(0, min(Int64(count), size - offset))
    let request = Containerd_Services_Content_V1_ReadContentRequest.with {
      $0.digest = "\(digest)"
      $0.offset = offset
      $0.size = wanted
    }
    let whole = offset == 0 && wanted == size
    let script = offset < 0 || wanted == 0 ? [] : whole ? ["content_get", "\(digest)"] : ["content_read", GRPCFrame.hex(request)]
    return try await store.recorded("read \(count) bytes of \(digest) at \(offset)", ["get", "\(digest)"], script: script, answer: ShellBytes.known) {
      try await base.read(at: offset, count: count)
    }
  }
  func close() async { await base.close() }
}

/// An open ingest. A script opens it for every step again: the wire's own locks on a ref are not seen there.
private final class RecordingWriter: ContentWriter, Sendable {
  typealias Request = Containerd_Services_Content_V1_WriteContentRequest
  let base: any ContentWriter
  let ref: String
  let open: Request
  let store: RecordingContentStore
  private let position: Mutex<Int64>

  init(base: any ContentWriter, ref: String, open: Request, store: RecordingContentStore, offset: Int64) {
    self.base = base
    self.ref = ref
    self.open = open
    self.store = store
    position = Mutex(offset)
  }

  static func opening(_ ref: String, _ expected: IngestExpectation) -> Request {
    .with {
      $0.action = .stat
      $0.ref = ref
      $0.total = expected.size ?? 0
      $0.expected = expected.digest.map { "\($0)" } ?? ""
    }
  }
  private func script(_ more: Request...) -> [String] { ["content_write", GRPCFrame.hex(open) + more.map { GRPCFrame.hex($0) }.joined()] }

  func status() async throws -> IngestStatus { try await base.status() }
  func write(_ bytes: [UInt8], at offset: Int64?) async throws {
    let at = offset ?? position.withLock { $0 }
    let request = Request.with {
      $0.action = .write
      $0.ref = ref
      $0.offset = at
      $0.data = Data(bytes)
    }
    try await store.recorded(
      "write \(bytes.count) bytes to \"\(ref)\"\(offset.map { " at \($0)" } ?? "")", script: bytes.count > 1 << 16 ? ["too_large"] : script(request),
      answer: { "at \(at + Int64(bytes.count))" }
    ) { try await base.write(bytes, at: offset) }
    position.withLock { $0 = at + Int64(bytes.count) }
  }
  func truncate(to offset: Int64) async throws {
    let request = Request.with {
      $0.action = .write
      $0.ref = ref
    }
    try await store.recorded("truncate \"\(ref)\" to \(offset)", script: offset == 0 ? script(request) : [], answer: { "at \(offset)" }) {
      try await base.truncate(to: offset)
    }
    position.withLock { $0 = offset }
  }
  func digest() async throws -> Digest {
    try await store.recorded("digest of \"\(ref)\"", script: [], told: { "\($0)" }, answer: { "\($0)" }) { try await base.digest() }
  }
  /// The whole of what `ctr` can do is in one line: `content ingest` with bytes from standard input.
  func commit(_ expected: IngestExpectation, labels: Labels) async throws -> Digest {
    let words =
      ["ingest"] + (expected.size.map { ["--expected-size", "\($0)"] } ?? []) + (expected.digest.map { ["--expected-digest", "\($0)"] } ?? []) + [ref]
    let at = position.withLock { $0 }
    let request = Request.with {
      $0.action = .commit
      $0.ref = ref
      $0.offset = at
      $0.total = expected.size ?? 0
      $0.expected = expected.digest.map { "\($0)" } ?? ""
      $0.labels = labels
    }
    return try await store.recorded(
      "commit \"\(ref)\" with the labels \(labels)", words, script: script(request), told: { "\($0)" }, answer: { "committed \($0)" }
    ) { try await base.commit(expected, labels: labels) }
  }
  func close() async {
    store.record.add("close \"\(ref)\"")
    await base.close()
  }
}
