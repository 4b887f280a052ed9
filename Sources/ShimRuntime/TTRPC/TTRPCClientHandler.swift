import ContainerdAPI
import NIOCore
import Protocols
import SwiftProtobuf

/// The state of one client connection: which stream waits for which answer. Confined to its event loop.
final class TTRPCClientHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private struct Call {
    var name: String
    var reply: OneShot<[UInt8]>
    var timer: Scheduled<Void>?
  }

  private let peer: String
  private var context: ChannelHandlerContext?
  private var parser = TTRPCFrameParser()
  private var calls: [UInt32: Call] = [:]
  /// A client's streams are odd and only grow.
  private var nextStream: UInt32 = 1

  init(peer: String) {
    self.peer = peer
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
  }

  func send(_ request: ByteBuffer, name: String, timeout: TimeAmount?, reply: OneShot<[UInt8]>) {
    if reply.isResolved { return }
    guard let context, context.channel.isActive else { return reply.resolve(.failure(closed(name))) }
    guard nextStream < UInt32.max - 2 else {
      // Two thousand million calls on one connection; a new connection starts again.
      return context.close(promise: nil)
    }
    let stream = nextStream
    nextStream += 2
    var call = Call(name: name, reply: reply)
    if let timeout {
      let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
      call.timer = context.eventLoop.scheduleTask(in: timeout) {
        handler.value.finish(stream, .failure(ContainerdError(.deadlineExceeded, name)))
      }
    }
    calls[stream] = call
    var buffer = context.channel.allocator.buffer(capacity: TTRPCFrame.headerLength + request.readableBytes)
    TTRPCFrame(stream: stream, kind: .request, data: request).write(to: &buffer)
    context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
  }

  func forget(_ reply: OneShot<[UInt8]>) {
    for (stream, call) in calls where call.reply === reply {
      call.timer?.cancel()
      calls[stream] = nil
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    parser.append(unwrapInboundIn(data))
    do {
      while let item = try parser.next() {
        switch item {
        case .frame(let frame) where frame.kind == .response: answer(frame)
        case .frame: continue
        case .oversized(let stream, let length):
          finish(stream, .failure(ContainerdError(.resourceExhausted, "answer of \(length) bytes, more than \(TTRPCFrame.maximumLength)")))
        }
      }
    } catch {
      context.fireErrorCaught(error)
      context.close(promise: nil)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    let waiting = calls.values
    calls = [:]
    for call in waiting {
      call.timer?.cancel()
      call.reply.resolve(.failure(closed(call.name)))
    }
    context.fireChannelInactive()
  }

  private func answer(_ frame: TTRPCFrame) {
    // A stream that nobody waits for is a call that was given up.
    guard calls[frame.stream] != nil else { return }
    do {
      let response = try Ttrpc_Response(serializedBytes: Array(buffer: frame.data))
      if response.hasStatus, let error = TTRPCStatus.error(response.status) {
        finish(frame.stream, .failure(error))
      } else {
        finish(frame.stream, .success(Array(response.payload)))
      }
    } catch {
      finish(frame.stream, .failure(ContainerdError.internalError("answer of \(peer) cannot be read: \(error)")))
    }
  }

  private func finish(_ stream: UInt32, _ result: Result<[UInt8], any Error>) {
    guard let call = calls.removeValue(forKey: stream) else { return }
    call.timer?.cancel()
    call.reply.resolve(result)
  }

  private func closed(_ name: String) -> ContainerdError {
    .unavailable("\(name): connection to \(peer) is closed")
  }
}
