import NIOCore

/// Answers HTTP/2 PING frames below the HTTP/2 handler, so that it never counts them.
///
/// grpc-go pings after nearly every DATA frame it receives, to measure bandwidth. swift-nio-http2 1.46 closes a connection after
/// 200 control frames within 30 seconds (apple/swift-nio-http2#561), and grpc-swift-nio-transport has no setting for it: without
/// this handler every upload of more than some 200 messages fails, and so does a client that makes some 60 calls in that time.
/// See docs/workarounds.md.
///
/// Only frame headers are parsed; everything but a PING passes through uncopied. A peer that sends more than `limit` pings within
/// one second is a flood, and its connection is closed.
public final class PingShield: ChannelInboundHandler {
  public typealias InboundIn = ByteBuffer
  public typealias InboundOut = ByteBuffer
  public typealias OutboundOut = ByteBuffer

  private static let headerLength = 9
  private static let pingLength = 17

  private let limit: Int
  private var windowStart: NIODeadline = .now()
  private var pingsInWindow = 0
  /// The beginning of a frame header, or of a PING, that has not arrived whole.
  private var partial: ByteBuffer?
  /// Bytes of the connection preface still to pass.
  private var prefaceLeft: Int
  /// Bytes of the present frame still to pass.
  private var payloadLeft = 0

  /// Which end of the connection it stands at: only a client sends a preface before its frames.
  public enum End: Sendable { case client, server }

  public init(at end: End = .server, limit: Int = 10_000) {
    self.limit = limit
    prefaceLeft = end == .server ? 24 : 0
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
        guard end - position >= Self.headerLength, let head: UInt32 = input.getInteger(at: position),
          let flags: UInt8 = input.getInteger(at: position + 4)
        else { break scan }
        let length = Int(head >> 8)
        let isPing = UInt8(truncatingIfNeeded: head) == 6 && flags & 1 == 0 && length == 8
        guard isPing else {
          position += Self.headerLength
          payloadLeft = length
          continue
        }
        guard end - position >= Self.pingLength, let opaque: UInt64 = input.getInteger(at: position + Self.headerLength) else { break scan }
        guard admit() else {
          context.close(promise: nil)
          return
        }
        pass(input, from: forwarded, to: position, context)
        answers.append(opaque, context.channel.allocator)
        position += Self.pingLength
        forwarded = position
      }
    }
    pass(input, from: forwarded, to: position, context)
    if position < end { partial = input.getSlice(at: position, length: end - position) }
    if let answers { context.writeAndFlush(wrapOutboundOut(answers), promise: nil) }
  }

  private func pass(_ input: ByteBuffer, from: Int, to: Int, _ context: ChannelHandlerContext) {
    if to > from, let slice = input.getSlice(at: from, length: to - from) { context.fireChannelRead(wrapInboundOut(slice)) }
  }

  private func admit() -> Bool {
    let now = NIODeadline.now()
    if now - windowStart > .seconds(1) {
      windowStart = now
      pingsInWindow = 0
    }
    pingsInWindow += 1
    return pingsInWindow <= limit
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
