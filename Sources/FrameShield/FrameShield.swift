import NIOCore

/// Deals with frames of which swift-nio-http2 makes too much below its handler.
///
/// - **PING** is answered here. grpc-go pings after nearly every DATA frame it receives, to measure bandwidth.
/// - **RST_STREAM** ends the stream that was announced by `opened`. grpc-go resets a stream whenever it has read enough of it, and containerd's client reads
///   a blob by one such stream for every 32 KiB. The handler, which then believes that it is we who end it, has a RST_STREAM of its own to send; that is
///   held back: a peer may count them too.
/// - **The end** of a server is told to its client before the handler hears of it (`Farewell`): from then on the handler refuses calls, and takes frames that
///   were under way for a breach of the protocol. Of those that still come, what is of no stream that lives is dropped.
///
/// swift-nio-http2 1.46 closes a connection after 200 pings or resets within 30 seconds (apple/swift-nio-http2#561), and grpc-swift-nio-transport has no
/// setting for it. See docs/workarounds.md.
///
/// Everything else passes through uncopied. A peer that sends more than `limit` of them within one second is a flood, and its connection is closed.
/// One per connection; to be used on the connection's event loop only.
public final class FrameShield: ChannelDuplexHandler {
  public typealias InboundIn = ByteBuffer
  public typealias InboundOut = ByteBuffer
  public typealias OutboundIn = IOData
  public typealias OutboundOut = IOData

  private let end: End
  private let limit: Int
  private var windowStart: NIODeadline = .now()
  private var framesInWindow = 0
  /// The beginning of a frame header, or of a frame that is dealt with here, that has not arrived whole.
  private var partial: ByteBuffer?
  /// Bytes of the connection preface still to pass.
  private var prefaceLeft: Int
  /// Bytes of the present frame still to pass, or to drop.
  private var payloadLeft = 0
  private var isDropping = false
  /// What ends each stream that lives.
  private var resets: [UInt32: (UInt32) -> Void] = [:]
  /// The highest number of a stream that was ever announced: resets of streams up to here, but for those that live, come too late to matter.
  private var newest: UInt32 = 0
  /// Streams that their peer has reset, whose end the HTTP/2 handler has not told it yet.
  private var ended: Set<UInt32> = []
  /// Bytes of the present frame that the HTTP/2 handler has still to write.
  private var writing = 0
  private let farewell = Farewell()

  /// Which end of the connection it stands at: only a client sends a preface before its frames.
  public enum End: Sendable { case client, server }

  public init(at end: End = .server, limit: Int = 10_000) {
    self.end = end
    self.limit = limit
    prefaceLeft = end == .server ? 24 : 0
  }

  /// A stream that its peer opened lives. From now on `reset` is called, with the error code, in the place of the HTTP/2 handler's hearing of a RST_STREAM.
  public func opened(_ stream: UInt32, reset: @escaping (UInt32) -> Void) {
    resets[stream] = reset
    newest = max(newest, stream)
  }

  public func closed(_ stream: UInt32) {
    resets[stream] = nil
    ended.remove(stream)
  }

  public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // One that is not even active has no client that could miss anything, and perhaps nobody to serve it: it must not become active any more.
    guard end == .server, event is ChannelShouldQuiesceEvent, context.channel.isActive else { return context.fireUserInboundEventTriggered(event) }
    farewell.begin(context) { [self] in resets.isEmpty }
  }

  public func channelInactive(context: ChannelHandlerContext) {
    resets = [:]
    farewell.cancel()
    context.fireChannelInactive()
  }

  public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var input = unwrapInboundIn(data)
    if var earlier = partial {
      partial = nil
      earlier.writeBuffer(&input)
      input = earlier
    }
    var forwarded = input.readerIndex
    var position = forwarded
    let end = input.writerIndex
    var answers: ByteBuffer?

    /// What came before, for the handler; `position` is where the next frame begins.
    func passOn() {
      if position > forwarded, let slice = input.getSlice(at: forwarded, length: position - forwarded) { context.fireChannelRead(wrapInboundOut(slice)) }
      forwarded = position
    }

    scan: while position < end {
      if prefaceLeft > 0 {
        let count = min(prefaceLeft, end - position)
        position += count
        prefaceLeft -= count
        continue
      }
      if payloadLeft > 0 {
        let count = min(payloadLeft, end - position)
        position += count
        payloadLeft -= count
        if isDropping { forwarded = position }
        continue
      }
      guard let frame = FrameHeader(input, at: position) else { break scan }
      // Each by itself: what the handler makes of one decides about the next.
      if farewell.isOver { passOn() }
      guard frame.isPing || frame.isPong || frame.isReset else {
        farewell.saw(frame)
        isDropping = farewell.isOver && isOfNoUse(frame)
        position += FrameHeader.length
        payloadLeft = frame.payload
        if isDropping { forwarded = position }
        continue
      }
      let payload = position + FrameHeader.length
      guard end - payload >= frame.payload else { break scan }
      guard frame.isPong || admit() else {
        context.close(promise: nil)
        return
      }
      // It may open the stream that is reset.
      passOn()
      position = payload + frame.payload
      if isDone(frame, input, payload, context, &answers) { forwarded = position }
    }
    passOn()
    if position < end { partial = input.getSlice(at: position, length: end - position) }
    if let answers { context.writeAndFlush(wrapOutboundOut(.byteBuffer(answers)), promise: nil) }
  }

  /// Deals with a PING or a RST_STREAM; false if it is the HTTP/2 handler's.
  private func isDone(_ frame: FrameHeader, _ input: ByteBuffer, _ payload: Int, _ context: ChannelHandlerContext, _ answers: inout ByteBuffer?) -> Bool {
    if frame.isReset { return reset(frame.stream, input.getInteger(at: payload) ?? 0) }
    let opaque: UInt64 = input.getInteger(at: payload) ?? 0
    if frame.isPong { return farewell.heard(opaque, context) }
    var buffer = answers ?? context.channel.allocator.buffer(capacity: FrameHeader.length + 8)
    buffer.writePing(opaque, isAnswer: true)
    answers = buffer
    return true
  }

  private func reset(_ stream: UInt32, _ code: UInt32) -> Bool {
    guard let end = resets.removeValue(forKey: stream) else { return stream <= newest || farewell.isOver }
    ended.insert(stream)
    end(code)
    return true
  }

  /// For frames after the farewell: the handler has refused their streams, or done with them, or with all.
  private func isOfNoUse(_ frame: FrameHeader) -> Bool {
    switch frame.type {
    case .data: resets[frame.stream] == nil
    case .windowUpdate: frame.stream == 0 ? resets.isEmpty : resets[frame.stream] == nil
    case .settings: resets.isEmpty
    default: false
    }
  }

  private func admit() -> Bool {
    let now = NIODeadline.now()
    if now - windowStart > .seconds(1) {
      windowStart = now
      framesInWindow = 0
    }
    framesInWindow += 1
    return framesInWindow <= limit
  }

  /// The HTTP/2 handler writes frame by frame, the payload perhaps by itself.
  public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    guard end == .server else { return context.write(data, promise: promise) }
    if case .byteBuffer(let buffer) = unwrapOutboundIn(data), writing == 0, let frame = FrameHeader(buffer, at: buffer.readerIndex) {
      if frame.isReset, ended.remove(frame.stream) != nil {
        promise?.succeed()
        return
      }
      writing = FrameHeader.length + frame.payload
    }
    writing = max(0, writing - unwrapOutboundIn(data).readableBytes)
    context.write(data, promise: promise)
  }
}
