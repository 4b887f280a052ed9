import NIOCore

/// A server's goodbye: a GOAWAY that excludes no stream yet, and a PING. When that is answered, everything that the client sent before it knew has arrived, and
/// is served like any other call (RFC 9113, section 6.8). Only then the HTTP/2 handler hears that it is to end.
///
/// swift-nio-http2 says the same by itself, but refuses streams from then on, and closes the connection over WINDOW_UPDATE or DATA that was under way.
final class Farewell {
  private enum Phase { case none, asked, said, over }

  /// Ours; grpc-swift has pings of its own.
  private static let token: UInt64 = 0x6661_7265_7765_6c6c
  /// A client that answers nothing is not waited for longer, nor one that has not even begun.
  private static let patience = TimeAmount.seconds(2)
  /// grpc-go takes a GOAWAY that comes together with the greeting for a failure to connect.
  private static let youth = TimeAmount.milliseconds(50)

  private var phase = Phase.none
  private var deadline = NIODeadline.distantFuture
  /// When the client confirmed our settings.
  private var greeted: NIODeadline?
  private var timer: Scheduled<Void>?
  private var isIdle: () -> Bool = { true }

  /// From here on the HTTP/2 handler knows.
  var isOver: Bool { phase == .over }

  func saw(_ frame: FrameHeader) {
    if greeted == nil, frame.isSettingsAnswer { greeted = .now() }
  }

  /// - Parameter isIdle: whether nothing of the client is under way.
  func begin(_ context: ChannelHandlerContext, isIdle: @escaping () -> Bool) {
    guard phase == .none else { return }
    phase = .asked
    self.isIdle = isIdle
    deadline = .now() + Self.patience
    say(context)
  }

  /// An answer to a PING has come; whether it was ours.
  func heard(_ opaque: UInt64, _ context: ChannelHandlerContext) -> Bool {
    guard opaque == Self.token, phase != .none else { return false }
    end(context)
    return true
  }

  /// The connection is no more.
  func cancel() {
    stopWaiting()
    isIdle = { true }
  }

  private func stopWaiting() {
    timer?.cancel()
    timer = nil
  }

  private func say(_ context: ChannelHandlerContext) {
    let now = NIODeadline.now()
    let ripe = greeted.map { $0 + Self.youth } ?? now + Self.youth
    if ripe > now, now < deadline { return wait(ripe - now, context) { $0.say(context) } }
    phase = .said
    // Who has not begun in all that time is not asked.
    if greeted == nil { return giveUp(context) }
    var words = context.channel.allocator.buffer(capacity: 2 * (FrameHeader.length + 8))
    words.writeGoAway(last: 0x7fff_ffff)
    words.writePing(Self.token, isAnswer: false)
    context.writeAndFlush(NIOAny(IOData.byteBuffer(words)), promise: nil)
    wait(Self.patience, context) { $0.giveUp(context) }
  }

  /// It does not answer. The HTTP/2 handler would ask too, and wait without a limit.
  private func giveUp(_ context: ChannelHandlerContext) {
    if phase == .said, isIdle() { context.close(promise: nil) } else { end(context) }
  }

  private func end(_ context: ChannelHandlerContext) {
    guard phase == .said else { return }
    stopWaiting()
    phase = .over
    context.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
  }

  private func wait(_ time: TimeAmount, _ context: ChannelHandlerContext, then next: @escaping (Farewell) -> Void) {
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: time) { [self] in next(self) }
  }
}
