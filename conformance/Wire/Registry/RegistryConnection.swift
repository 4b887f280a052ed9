import Glibc
import NIOCore
import NIOHTTP1

/// One connection: each request is answered byte by byte, so that an answer may be as wrong as a case likes.
final class RegistryConnection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = ByteBuffer

  private let registry: FaultyRegistry
  private var head: HTTPRequestHead?

  init(registry: FaultyRegistry) { self.registry = registry }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body: break
    case .end:
      guard let head else { return }
      let (request, reply) = registry.answer(head)
      send(reply, to: request, context)
    }
  }

  /// TLS, noise: nobody we can talk to.
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func send(_ reply: RegistryReply, to request: RegistryRequest, _ context: ChannelHandlerContext) {
    var text = "HTTP/1.1 \(reply.status) As Scripted\r\n"
    for (name, value) in reply.headers { text += "\(name): \(value)\r\n" }
    var closes = reply.cutAfter != nil
    var chunked = false
    switch reply.length {
    case .exact: text += "Content-Length: \(reply.body.count)\r\n"
    case .claimed(let count): text += "Content-Length: \(count)\r\n"
    case .chunked:
      text += "Transfer-Encoding: chunked\r\n"
      chunked = true
    case .untilClose:
      text += "Connection: close\r\n"
      closes = true
    }
    write(Array((text + "\r\n").utf8), context)
    guard request.method != "HEAD" else { return context.flush() }
    if case .claimed(let count) = reply.length, count > reply.body.count, reply.stallAfter == nil { closes = true }
    var body = reply.body[...]
    if let most = reply.cutAfter ?? reply.stallAfter { body = body.prefix(most) }
    let isBlob = request.isBlob && reply.status < 300
    if isBlob { registry.blob(1) }
    let whole = reply.cutAfter == nil && reply.stallAfter == nil
    deal(body, reply, chunked: chunked, context) { [registry] context in
      if isBlob { registry.blob(-1) }
      if chunked && whole { self.write(Array("0\r\n\r\n".utf8), context) }
      context.flush()
      if reply.stallAfter != nil { return }
      if closes { self.end(reply, context) }
    }
  }

  /// The body in its pieces, then `done`.
  private func deal(
    _ body: ArraySlice<UInt8>, _ reply: RegistryReply, chunked: Bool, _ context: ChannelHandlerContext, done: @escaping (ChannelHandlerContext) -> Void
  ) {
    let piece = body.prefix(reply.pace?.bytes ?? (64 << 10))
    if piece.isEmpty { return done(context) }
    if chunked { write(Array("\(String(piece.count, radix: 16))\r\n".utf8), context) }
    write(Array(piece), context)
    if chunked { write([13, 10], context) }
    let rest = body.dropFirst(piece.count)
    // The last piece leaves with `done`: what is counted there has ended before the client can know and ask for more.
    if rest.isEmpty { return done(context) }
    guard let pace = reply.pace else { return deal(rest, reply, chunked: chunked, context, done: done) }
    context.flush()
    let bound = NIOLoopBound((self, context, done), eventLoop: context.eventLoop)
    context.eventLoop.scheduleTask(in: .milliseconds(pace.milliseconds)) {
      let (me, context, done) = bound.value
      me.deal(rest, reply, chunked: chunked, context, done: done)
    }
  }

  private func write(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
    var buffer = context.channel.allocator.buffer(capacity: bytes.count)
    buffer.writeBytes(bytes)
    context.write(wrapOutboundOut(buffer), promise: nil)
  }

  private func end(_ reply: RegistryReply, _ context: ChannelHandlerContext) {
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    let last = context.channel.eventLoop.makePromise(of: Void.self)
    context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(capacity: 0)), promise: last)
    last.futureResult.whenComplete { _ in
      let context = bound.value
      guard reply.reset, let options = context.channel as? any SocketOptionProvider else { return context.close(promise: nil) }
      // Lingering for no time turns the end into a reset; the pause lets what was written arrive first.
      context.eventLoop.scheduleTask(in: .milliseconds(50)) {
        options.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in bound.value.close(promise: nil) }
      }
    }
  }
}
