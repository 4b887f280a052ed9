import ContainerdAPI
import GRPCCore
import Protocols
import WireMapping

/// One upload: the state machine of `Content/Write`.
///
/// The first message names the ref and opens the ingest; every message gets one answer. STAT asks; WRITE adds bytes; COMMIT may add
/// bytes and ends the upload. An offset above zero must be the present one; offset zero with bytes there starts over. What the client
/// expects of size and digest may change with every message: the last word counts. Leaving without COMMIT keeps the ingest.
struct ContentWriteStream {
  typealias Request = Containerd_Services_Content_V1_WriteContentRequest
  typealias Response = Containerd_Services_Content_V1_WriteContentResponse

  let store: any ContentStore
  let response: RPCWriter<Response>

  func serve(_ requests: RPCAsyncSequence<Request, any Error>) async throws {
    var messages = requests.makeAsyncIterator()
    guard let first = try await messages.next() else { throw ContainerdError.invalidArgument("write stream without a message") }
    if first.ref.isEmpty { throw ContainerdError.invalidArgument("first message of a write stream must have a reference") }
    var expected = try IngestExpectation(checking: first.total, first.expected)
    let writer = try await store.writer(ref: first.ref, expected: expected)
    do {
      var message: Request? = first
      while let request = message {
        if !request.ref.isEmpty && request.ref != first.ref {
          throw ContainerdError.invalidArgument("ref cannot change within a write stream: \(first.ref) to \(request.ref)")
        }
        let news = try IngestExpectation(checking: request.total, request.expected)
        expected = news.or(expected)
        if let digest = news.digest { try await refuse(digest, ref: first.ref, writer) }
        if try await answer(request, writer, expected) { return }
        message = try await messages.next()
      }
      await writer.close()
    } catch {
      await writer.close()
      throw error
    }
  }

  /// Throws `alreadyExists` if the namespace has the blob by now: what was uploaded of it is of no use to anybody.
  private func refuse(_ digest: Digest, ref: String, _ writer: any ContentWriter) async throws {
    do { _ = try await store.info(digest) } catch let error as ContainerdError where error.code == .notFound { return }
    // While the writer still holds the ref, and only then: once it is closed, or was aborted, the ingest may be somebody else's.
    _ = try await writer.status()
    do { try await store.abort(ref: ref) } catch let error as ContainerdError where error.code == .notFound {}
    await writer.close()
    throw ContainerdError.alreadyExists("blob with expected digest \(digest)")
  }

  /// True when the upload has ended.
  private func answer(_ request: Request, _ writer: any ContentWriter, _ expected: IngestExpectation) async throws -> Bool {
    var status = try await writer.status()
    if request.action != .stat {
      if request.offset < 0 || request.offset > 0 && request.offset != status.offset {
        throw ContainerdError.outOfRange("write @\(request.offset) must occur at current offset \(status.offset)")
      }
      if request.offset == 0 && status.offset > 0 { try await writer.truncate(to: 0) }
      if !request.data.isEmpty { try await writer.write([UInt8](request.data), at: nil) }
      status = try await writer.status()
    }
    var reply = Response()
    reply.action = request.action
    reply.startedAt = status.startedAt.wire
    reply.updatedAt = status.updatedAt.wire
    reply.offset = status.offset
    reply.total = expected.size ?? 0
    // Of the bytes so far: a Go client shows it as its writer's digest.
    let digest = request.action == .commit ? try await writer.commit(expected, labels: request.labels) : try await writer.digest()
    reply.digest = digest.description
    try await response.write(reply)
    return request.action == .commit
  }
}

extension IngestExpectation {
  fileprivate init(checking size: Int64, _ digest: String) throws {
    if size < 0 { throw ContainerdError.invalidArgument("negative total \(size)") }
    self.init(size: size, digest: try optionalDigest(digest))
  }
}
