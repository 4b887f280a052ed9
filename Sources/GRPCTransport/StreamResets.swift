import FrameShield
import NIOCore
import NIOHTTP2

/// Lets a client's resets be carried out by the connection's `FrameShield`.
enum StreamResets {
  /// For each stream that a client opens, on its event loop, before its first frame is read.
  static func announce(_ stream: any Channel) -> EventLoopFuture<Void> {
    stream.eventLoop.makeCompletedFuture {
      guard let connection = stream.parent, let options = stream.syncOptions else { return }
      let shield = try connection.pipeline.syncOperations.handler(type: FrameShield.self)
      let id = UInt32(Int(try options.getOption(HTTP2StreamChannelOptions.streamID)))
      shield.opened(id) { code in
        // What the HTTP/2 handler would have said, so that the call is cancelled; then the stream's end, on the wire a RST_STREAM that nobody waits for.
        stream.pipeline.syncOperations.fireChannelRead(NIOAny(HTTP2Frame.FramePayload.rstStream(HTTP2ErrorCode(networkCode: Int(code)))))
        stream.pipeline.syncOperations.fireChannelReadComplete()
        stream.close(promise: nil)
      }
      stream.closeFuture.assumeIsolated().whenComplete { _ in shield.closed(id) }
    }
  }
}
