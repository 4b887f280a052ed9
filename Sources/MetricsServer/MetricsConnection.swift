import HTTPListening
import NIOCore
import NIOHTTP1

/// One client: one request, one answer.
struct MetricsConnection: Sendable {
  /// Who has not asked and listened by then is hung up on.
  private static let patience = TimeAmount.seconds(10)

  let channel: HTTPListener.Connection

  func serve(_ text: @escaping @Sendable () async -> String) async {
    let raw = channel.channel
    let end = raw.eventLoop.scheduleTask(in: Self.patience) { raw.close(promise: nil) }
    do {
      try await channel.executeThenClose { inbound, outbound in
        var head: HTTPRequestHead?
        for try await part in inbound {
          if case .head(let request) = part { head = request }
          // A body is of no interest.
          if case .end = part { break }
        }
        if let head { try await answer(head, outbound, text) }
      }
    } catch {
      // The client has gone, or sent what is no HTTP: there is nobody left to tell.
    }
    end.cancel()
  }

  func hangUp() async {
    do { try await channel.executeThenClose { _, _ in } } catch {
      // It was gone before.
    }
  }

  private func answer(
    _ head: HTTPRequestHead, _ outbound: NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>, _ text: @Sendable () async -> String
  ) async throws {
    var status = HTTPResponseStatus.ok
    var type = "text/plain; version=0.0.4; charset=utf-8"
    var body = ""
    if head.uri.prefix(while: { $0 != "?" }) != "/metrics" {
      (status, type, body) = (.notFound, "text/plain; charset=utf-8", "there is /metrics and nothing else\n")
    } else if head.method != .GET, head.method != .HEAD {
      (status, type, body) = (.methodNotAllowed, "text/plain; charset=utf-8", "/metrics can only be read\n")
    } else {
      body = await text()
    }
    let bytes = ByteBuffer(string: body)
    var headers = HTTPHeaders([("Content-Type", type), ("Content-Length", "\(bytes.readableBytes)"), ("Connection", "close")])
    if status == .methodNotAllowed { headers.add(name: "Allow", value: "GET, HEAD") }
    try await outbound.write(.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers)))
    if head.method != .HEAD { try await outbound.write(.body(.byteBuffer(bytes))) }
    try await outbound.write(.end(nil))
  }
}
