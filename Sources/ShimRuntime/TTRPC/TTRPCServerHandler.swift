import ContainerdAPI
import NIOCore
import Protocols
import SwiftProtobuf

/// Answers the calls of one connection. Confined to its event loop.
final class TTRPCServerHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let methods: [String: TTRPCServer.Method]
  private var parser = TTRPCFrameParser()
  private var running: [UInt32: Task<Void, Never>] = [:]

  init(methods: [String: TTRPCServer.Method]) {
    self.methods = methods
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    parser.append(unwrapInboundIn(data))
    do {
      while let item = try parser.next() {
        switch item {
        case .frame(let frame) where frame.kind == .request: handle(frame, context: context)
        case .frame(let frame): fail(frame.stream, .notImplemented("ttrpc streams"), context: context)
        case .oversized(let stream, let length):
          let error = ContainerdError(.resourceExhausted, "request of \(length) bytes, more than \(TTRPCFrame.maximumLength)")
          fail(stream, error, context: context)
        }
      }
    } catch {
      context.close(promise: nil)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    for task in running.values { task.cancel() }
    running = [:]
    context.fireChannelInactive()
  }

  private func handle(_ frame: TTRPCFrame, context: ChannelHandlerContext) {
    let request: Ttrpc_Request
    do {
      request = try Ttrpc_Request(serializedBytes: Array(buffer: frame.data))
    } catch {
      return fail(frame.stream, .invalidArgument("request cannot be read: \(error)"), context: context)
    }
    let name = "\(request.service)/\(request.method)"
    guard let method = methods[name] else {
      let known = methods.keys.contains { $0.hasPrefix(request.service + "/") }
      return fail(frame.stream, .notImplemented(known ? "method \(name)" : "service \(request.service)"), context: context)
    }
    let call = TTRPCServer.Call(
      payload: Array(request.payload),
      metadata: Dictionary(request.metadata.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first }),
      timeout: .nanoseconds(request.timeoutNano))
    switch method {
    case .inOrder(let body): respond(frame.stream, Result { try body(call) }, context: context)
    case .concurrent(let body): start(body, call, stream: frame.stream, context: context)
    }
  }

  private func start(
    _ body: @escaping @Sendable (TTRPCServer.Call) async throws -> [UInt8], _ call: TTRPCServer.Call, stream: UInt32, context: ChannelHandlerContext
  ) {
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    let eventLoop = context.eventLoop
    running[stream] = Task {
      let result: Result<[UInt8], any Error>
      do { result = .success(try await body(call)) } catch { result = .failure(error) }
      eventLoop.execute {
        let (handler, context) = bound.value
        // Gone from the table: the connection has ended meanwhile.
        guard handler.running.removeValue(forKey: stream) != nil else { return }
        handler.respond(stream, result, context: context)
      }
    }
  }

  private func fail(_ stream: UInt32, _ error: ContainerdError, context: ChannelHandlerContext) {
    respond(stream, .failure(error), context: context)
  }

  private func respond(_ stream: UInt32, _ result: Result<[UInt8], any Error>, context: ChannelHandlerContext) {
    var response = Ttrpc_Response()
    switch result {
    case .success(let payload): response.payload = Bytes.data(payload)
    case .failure(let error): response.status = TTRPCStatus.status(error)
    }
    do {
      var bytes: [UInt8] = try response.serializedBytes()
      if bytes.count > TTRPCFrame.maximumLength {
        var refusal = Ttrpc_Response()
        refusal.status = TTRPCStatus.status(ContainerdError(.resourceExhausted, "answer of \(bytes.count) bytes"))
        bytes = try refusal.serializedBytes()
      }
      var buffer = context.channel.allocator.buffer(capacity: TTRPCFrame.headerLength + bytes.count)
      TTRPCFrame(stream: stream, kind: .response, data: ByteBuffer(bytes: bytes)).write(to: &buffer)
      context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    } catch {
      context.close(promise: nil)
    }
  }
}
