import NIOCore

/// Deals with the frames that grpc-go sends in plenty below the HTTP/2 handler, so that it never counts them.
///
/// - **PING** is answered here. grpc-go pings after nearly every DATA frame it receives, to measure bandwidth.
/// - **RST_STREAM** ends the stream that was announced by `opened`. grpc-go resets a stream whenever it has read enough of it, and containerd's client reads
///   a blob by one such stream for every 32 KiB. The handler, which then believes that it is we who end it, has a RST_STREAM of its own to send; that is
///   held back: a peer may count them too.
///
/// swift-nio-http2 1.46 closes a connection after 200 of either within 30 seconds (apple/swift-nio-http2#561), and grpc-swift-nio-transport has no setting
/// for it. See docs/workarounds.md.
///
/// Everything else passes through uncopied. A peer that sends more than `limit` of them within one second is a flood, and its connection is closed.
/// One per connection; to be used on the connection's event loop only.
public final class FrameShield: ChannelDuplexHandler {
  public typealias InboundIn = ByteBuffer
  public typealias InboundOut = ByteBuffer
  public typealias OutboundIn = IOData
  public typealias OutboundOut = IOData

  private let limit: Int
  private var windowStart: NIODeadline = .now()
  private var framesInWindow = 0
  /// The beginning of a frame header, or of a frame that is dealt with here, that has not arrived whole.
  private var partial: ByteBuffer?
  /// Bytes of the connection preface still to pass.
  private var prefaceLeft: Int
  /// Bytes of the present frame still to pass.
  private var payloadLeft = 0
  /// What ends each stream that lives.
  private var resets: [UInt32: (UInt32) -> Void] = [:]
  /// The highest number of a stream that was ever announced: resets of streams up to here, but for those that live, come too late to matter.
  private var newest: UInt32 = 0
  /// Streams that their peer has reset, whose end the HTTP/2 handler has not told it yet.
  private var ended: Set<UInt32> = []
  /// Bytes of the present frame that the HTTP/2 handler has still to write.
  private var writing = 0

  /// Which end of the connection it stands at: only a client sends a preface before its frames.
  public enum End: Sendable { case client, server }

  public init(at end: End = .server, limit: Int = 10_000) {
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

  public func channelInactive(context: ChannelHandlerContext) {
    resets = [:]
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

    scan: while position < end {
      if prefaceLeft > 0 {
        let count = min(prefaceLeft, end - position)
        position += count
        prefaceLeft -= count
      } else if payloadLeft > 0 {
        let count = min(payloadLeft, end - position)
        position += count
        payloadLeft -= count
      } else {
        guard let frame = FrameHeader(input, at: position) else { break scan }
        guard frame.isPing || frame.isReset else {
          position += FrameHeader.length
          payloadLeft = frame.payload
          continue
        }
        let payload = position + FrameHeader.length
        guard end - payload >= frame.payload else { break scan }
        guard admit() else {
          context.close(promise: nil)
          return
        }
        // First what came before: it may open the stream that is reset.
        pass(input, from: forwarded, to: position, context)
        forwarded = position
        position = payload + frame.payload
        if frame.isPing {
          answers.append(input.getInteger(at: payload) ?? 0, context.channel.allocator)
          forwarded = position
        } else if reset(frame.stream, input.getInteger(at: payload) ?? 0) {
          forwarded = position
        }
      }
    }
    pass(input, from: forwarded, to: position, context)
    if position < end { partial = input.getSlice(at: position, length: end - position) }
    if let answers { context.writeAndFlush(wrapOutboundOut(.byteBuffer(answers)), promise: nil) }
  }

  private func pass(_ input: ByteBuffer, from: Int, to: Int, _ context: ChannelHandlerContext) {
    if to > from, let slice = input.getSlice(at: from, length: to - from) { context.fireChannelRead(wrapInboundOut(slice)) }
  }

  /// Whether the HTTP/2 handler need not hear of it.
  private func reset(_ stream: UInt32, _ code: UInt32) -> Bool {
    guard let end = resets.removeValue(forKey: stream) else { return stream <= newest }
    ended.insert(stream)
    end(code)
    return true
  }

  /// The HTTP/2 handler writes frame by frame, the payload perhaps by itself.
  public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
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

  private func admit() -> Bool {
    let now = NIODeadline.now()
    if now - windowStart > .seconds(1) {
      windowStart = now
      framesInWindow = 0
    }
    framesInWindow += 1
    return framesInWindow <= limit
  }
}

extension Optional where Wrapped == ByteBuffer {
  /// Adds a PING frame with the ACK flag.
  fileprivate mutating func append(_ opaque: UInt64, _ allocator: ByteBufferAllocator) {
    var buffer = self ?? allocator.buffer(capacity: 17)
    buffer.writeInteger(UInt32(8 << 8 | 6))
    buffer.writeInteger(UInt8(1))
    buffer.writeInteger(UInt32(0))
    buffer.writeInteger(opaque)
    self = buffer
  }
}
