import HTTPListening
import NIOCore
import NIOHTTP1
import Synchronization

/// One client's connection: requests one after another, each answered with whatever faults it meets.
struct Connection: Sendable {
  /// How much of a body that nobody reads is thrown away to keep the connection.
  private static let patience = 16 << 20

  let number: Int
  let channel: HTTPListener.Connection
  let service: RegistryService
  let log: AccessLog
  let faults: RegistryFaults

  func serve() async {
    let raw = channel.channel
    await withTaskCancellationHandler {
      do {
        try await channel.executeThenClose { inbound, _ in
          if faults.isAway { return }
          let reader = RequestReader(inbound, raw)
          while let head = try await reader.nextHead() {
            if faults.isAway { return }
            guard try await answer(head, reader) else { return }
          }
        }
      } catch {
        // The client has gone, or sent what is no HTTP: there is nobody left to tell.
      }
    } onCancel: {
      raw.close(promise: nil)
    }
  }

  /// Whether the connection can take another request.
  private func answer(_ head: HTTPRequestHead, _ reader: RequestReader) async throws -> Bool {
    let entry = log.begin(head, connection: number)
    defer { service.configuration.onRequest(entry.value) }
    let path = String(head.uri.prefix { $0 != "?" })
    let faults = faults.take(method: head.method.rawValue, path: path)
    var head = head
    var forced: Response?
    for fault in faults {
      switch fault {
      case .delay(let time): try await Task.sleep(for: time)
      case .ignoreRange: head.headers.remove(name: "Range")
      case .noHead where head.method == .HEAD: forced = RegistryError(.unsupported, "HEAD").response
      case .status(let code, let headers):
        let error = RegistryError(code == 429 ? .tooManyRequests : .unknown, "as the test wishes", status: HTTPResponseStatus(statusCode: code))
        forced = error.response
        for (name, value) in headers { forced?.headers.replaceOrAdd(name: name, value: value) }
      case .redirect(let code, let origin): forced = Response(HTTPResponseStatus(statusCode: code), [("Location", origin + head.uri)])
      default: break
      }
    }
    var response: Response
    if let forced { response = forced } else { response = try await service.respond(to: head, body: reader) }
    var keepAlive = head.isKeepAlive
    if try await !reader.drain(upTo: Self.patience) { keepAlive = false }
    let plan = SendPlan(&response, faults, rate: service.configuration.bytesPerSecond)
    if plan.closes { keepAlive = false }
    if !keepAlive { response.headers.replaceOrAdd(name: "Connection", value: "close") }
    entry.record.withLock { $0.status = Int(response.status.code) }
    let sender = ResponseSender(channel: channel.channel, pool: service.pool, entry: entry, faults: self.faults)
    try await sender.send(response, version: head.version, bodiless: head.method == .HEAD, plan)
    return keepAlive
  }
}

/// Splits a connection's parts into requests. One task's.
final class RequestReader {
  /// The client went away in the middle of a request.
  struct ConnectionLost: Error {}

  private var parts: NIOAsyncChannelInboundStream<HTTPServerRequestPart>.AsyncIterator
  private let channel: any Channel
  private var inBody = false
  private var awaitsContinue = false

  init(_ inbound: NIOAsyncChannelInboundStream<HTTPServerRequestPart>, _ channel: any Channel) {
    self.parts = inbound.makeAsyncIterator()
    self.channel = channel
  }

  func nextHead() async throws -> HTTPRequestHead? {
    guard case .head(let head) = try await parts.next() else { return nil }
    inBody = true
    awaitsContinue = head.headers.first(name: "Expect")?.lowercased() == "100-continue"
    return head
  }

  /// The next piece of the body, nil at its end.
  func next() async throws -> ByteBuffer? {
    if !inBody { return nil }
    if awaitsContinue {
      awaitsContinue = false
      try await channel.writeAndFlush(HTTPServerResponsePart.head(HTTPResponseHead(version: .http1_1, status: .continue))).get()
    }
    switch try await parts.next() {
    case .body(let buffer): return buffer
    case .end:
      inBody = false
      return nil
    case .head, nil: throw ConnectionLost()
    }
  }

  /// Whether the body's end was reached within `limit` bytes.
  func drain(upTo limit: Int) async throws -> Bool {
    // A client that waits for our word has not sent the body, and will not after a final answer.
    if awaitsContinue { return false }
    var dropped = 0
    while let buffer = try await next() {
      dropped += buffer.readableBytes
      if dropped > limit { return false }
    }
    return true
  }
}
