import ContainerdAPI
import GRPCCore
import Protocols
import WireMapping

/// One upload: the state machine of `Content/Write`.
///
/// The first message names the ref. Every message gets one answer; STAT asks, WRITE adds bytes, COMMIT ends the upload. An offset above
/// zero must be the present one; offset zero with bytes on disk starts over. Leaving without COMMIT keeps the ingest for a resume.
struct ContentWriteStream {
  typealias Request = Containerd_Services_Content_V1_WriteContentRequest
  typealias Response = Containerd_Services_Content_V1_WriteContentResponse

  let store: any ContentStore
  let response: RPCWriter<Response>

  func serve(_ requests: RPCAsyncSequence<Request, any Error>) async throws {
    var messages = requests.makeAsyncIterator()
    guard let first = try await messages.next() else { throw ContainerdError.invalidArgument("write stream without a message") }
    if first.ref.isEmpty { throw ContainerdError.invalidArgument("first message of a write stream must have a reference") }
    var expected = IngestExpectation(size: first.total, digest: try optionalDigest(first.expected))
    let writer: any ContentWriter
    do {
      writer = try await store.writer(ref: first.ref, expected: expected)
    } catch let error as ContainerdError where error.code == .alreadyExists {
      // What the client has uploaded of a blob that exists is of no use to anybody.
      do { try await store.abort(ref: first.ref) } catch let absent as ContainerdError where absent.code == .notFound {}
      throw error
    }
    do {
      var message: Request? = first
      while let request = message {
        if !request.ref.isEmpty && request.ref != first.ref {
          throw ContainerdError.invalidArgument("ref cannot change within a write stream: \(first.ref) to \(request.ref)")
        }
        if request.total > 0 {
          if let size = expected.size, size != request.total {
            throw ContainerdError.failedPrecondition("ingest \(first.ref): total cannot change from \(size) to \(request.total)")
          }
          expected.size = request.total
        }
        if let digest = try optionalDigest(request.expected) {
          if let earlier = expected.digest, earlier != digest {
            throw ContainerdError.failedPrecondition("ingest \(first.ref): expected digest cannot change from \(earlier) to \(digest)")
          }
          expected.digest = digest
        }
        if try await answer(request, writer, expected) { return }
        message = try await messages.next()
      }
      await writer.close()
    } catch {
      await writer.close()
      throw error
    }
  }

  /// True when the upload has ended.
  private func answer(_ request: Request, _ writer: any ContentWriter, _ expected: IngestExpectation) async throws -> Bool {
    var status = try await writer.status()
    if request.action != .stat {
      if request.offset > 0 && request.offset != status.offset {
        throw ContainerdError.outOfRange("write @\(request.offset) must occur at current offset \(status.offset)")
      }
      if request.offset == 0 && status.offset > 0 && !request.data.isEmpty { try await writer.truncate(to: 0) }
      if !request.data.isEmpty { try await writer.write([UInt8](request.data), at: nil) }
      status = try await writer.status()
    }
    var reply = Response()
    reply.action = request.action
    reply.startedAt = status.startedAt.wire
    reply.updatedAt = status.updatedAt.wire
    reply.offset = status.offset
    reply.total = max(status.total, expected.size ?? 0)
    if request.action == .commit {
      let digest = try await writer.commit(expected, labels: request.labels)
      await writer.close()
      reply.digest = digest.description
      try await response.write(reply)
      return true
    }
    if request.action == .stat { reply.digest = try await writer.digest().description }
    try await response.write(reply)
    return false
  }
}
