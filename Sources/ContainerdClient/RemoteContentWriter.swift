import ContainerdAPI
import Foundation
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

/// One open `Content/Write` stream: a message out, its answer in, one at a time.
actor RemoteContentWriter: ContentWriter {
  typealias API = Containerd_Services_Content_V1_Content
  typealias Request = Containerd_Services_Content_V1_WriteContentRequest
  typealias Response = Containerd_Services_Content_V1_WriteContentResponse

  /// Bytes in one message, as the Go client sends them.
  private static let piece = 1 << 20

  private let ref: String
  private let expected: IngestExpectation
  private let requests: AsyncStream<Request>.Continuation
  private let stream: Task<Void, Never>
  private let answers: AsyncThrowingStream<Response, any Error>
  private var offset: Int64 = 0
  private var last = Response()
  /// Committed, closed, or failed: the stream has ended, and with it the writer.
  private var ended = false

  init(api: API.Client<ContainerdClient.Transport>, metadata: Metadata, ref: String, expected: IngestExpectation) {
    let (outgoing, requests) = AsyncStream.makeStream(of: Request.self)
    let (answers, incoming) = AsyncThrowingStream.makeStream(of: Response.self)
    self.ref = ref
    self.expected = expected
    self.requests = requests
    self.answers = answers
    self.stream = Task {
      do {
        try await api.write(
          metadata: metadata,
          requestProducer: { writer in for await request in outgoing { try await writer.write(request) } },
          onResponse: { response in for try await message in response.messages { incoming.yield(message) } })
        incoming.finish()
      } catch let error as RPCError {
        incoming.finish(throwing: ContainerdError(error))
      } catch { incoming.finish(throwing: error) }
    }
  }

  func open() async throws { try await send(Request.with { $0.action = .stat }) }

  /// Asks: the ingest may have been aborted since the last message.
  func status() async throws -> IngestStatus {
    try await send(Request.with { $0.action = .stat })
    return IngestStatus(
      ref: ref, offset: offset, total: last.total, expected: expected.digest, startedAt: Timestamp(wire: last.startedAt),
      updatedAt: Timestamp(wire: last.updatedAt))
  }

  func write(_ bytes: [UInt8], at position: Int64?) async throws {
    try checkOpen()
    if let position, position != offset {
      throw ContainerdError.outOfRange("ingest \(ref): write at \(position) must occur at current offset \(offset)")
    }
    for start in stride(from: 0, to: bytes.count, by: Self.piece) {
      let at = offset
      let data = Data(bytes[start..<min(start + Self.piece, bytes.count)])
      try await send(
        Request.with {
          $0.action = .write
          $0.offset = at
          $0.data = data
        })
    }
  }

  /// The wire can only start over: by a write at 0, here of nothing.
  func truncate(to position: Int64) async throws {
    try checkOpen()
    // To 0 it is asked for in any case: the ingest may have been aborted.
    if position == offset && position > 0 { return }
    if position < 0 || position > offset { throw ContainerdError.outOfRange("ingest \(ref): truncate to \(position) of \(offset) bytes") }
    if position > 0 { throw ContainerdError.notImplemented("ingest \(ref): truncate to \(position) through the API") }
    try await send(Request.with { $0.action = .write })
  }

  func digest() async throws -> Digest {
    try await send(Request.with { $0.action = .stat })
    return try Digest(parsing: last.digest)
  }

  func commit(_ wanted: IngestExpectation, labels: Labels) async throws -> Digest {
    let at = offset
    try await send(
      Request.with {
        $0.action = .commit
        $0.offset = at
        $0.total = wanted.size ?? 0
        $0.expected = wanted.digest?.description ?? ""
        $0.labels = labels
      })
    ended = true
    return try Digest(parsing: last.digest)
  }

  func close() async {
    ended = true
    requests.finish()
    await stream.value
  }

  private func checkOpen() throws {
    if ended { throw ContainerdError.failedPrecondition("ingest \(ref): the writer is closed") }
  }

  private func send(_ request: Request) async throws {
    try checkOpen()
    var request = request
    request.ref = ref
    if request.action != .commit {
      request.total = expected.size ?? 0
      request.expected = expected.digest?.description ?? ""
    }
    requests.yield(request)
    // Nothing follows a commit. A stream that its caller has not ended is reset by grpc-go when it answers, and swift-nio-http2 closes a connection
    // after 200 resets within 30 seconds.
    if request.action == .commit { requests.finish() }
    var iterator = answers.makeAsyncIterator()
    do {
      guard let answer = try await iterator.next(isolation: #isolation) else { throw ContainerdError.unavailable("ingest \(ref): the write stream has ended") }
      last = answer
      offset = answer.offset
    } catch {
      // An error is the last that a stream tells.
      ended = true
      throw error
    }
  }
}
