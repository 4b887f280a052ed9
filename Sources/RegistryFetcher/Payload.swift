import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Protocols

/// What a request carries. It can be sent again: attempts and redirects do.
struct Payload: Sendable {
  enum Content: Sendable {
    case bytes([UInt8])
    /// Opened anew for each sending; it delivers `length` bytes.
    case stream(length: Int64, @Sendable () async throws -> any ByteStream)
  }

  var content: Content
  var type: String
  /// Never sent to another origin.
  var isSecret = false

  init(_ content: Content, type: String, isSecret: Bool = false) {
    self.content = content
    self.type = type
    self.isSecret = isSecret
  }

  func attach(to request: inout HTTPClientRequest) async throws {
    request.headers.replaceOrAdd(name: "Content-Type", value: type)
    switch content {
    case .bytes(let bytes): request.body = .bytes(ByteBuffer(bytes: bytes))
    case .stream(let length, let open): request.body = .stream(Pieces(stream: try await open()), length: .known(length))
    }
  }
}

/// A stream as the HTTP client wants it.
private struct Pieces: AsyncSequence, Sendable {
  let stream: any ByteStream

  func makeAsyncIterator() -> Iterator { Iterator(stream: stream) }

  struct Iterator: AsyncIteratorProtocol {
    let stream: any ByteStream
    func next() async throws -> ByteBuffer? { try await stream.next().map { ByteBuffer(bytes: $0) } }
  }
}
