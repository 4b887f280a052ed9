import ContainerdAPI
import NIOCore
import NIOPosix
import Protocols
import SwiftProtobuf

/// One connection to a ttrpc server: any number of calls at a time, each on a stream of its own, answered in any order.
///
/// Threading: all methods may be called from any task. When the connection ends, every call that waits fails with `unavailable`,
/// as does every later one.
final class TTRPCClient: Sendable {
  private let channel: any Channel
  private let handler: NIOLoopBound<TTRPCClientHandler>

  private init(channel: any Channel, handler: NIOLoopBound<TTRPCClientHandler>) {
    self.channel = channel
    self.handler = handler
  }

  deinit {
    channel.close(promise: nil)
  }

  static func connect(path: String, group: any EventLoopGroup, timeout: Duration = .seconds(5)) async throws -> TTRPCClient {
    do {
      let bootstrap = ClientBootstrap(group: group).connectTimeout(TimeAmount(timeout))
      return try await bootstrap.connect(unixDomainSocketPath: path) { channel in
        channel.eventLoop.makeCompletedFuture {
          let handler = TTRPCClientHandler(peer: path)
          try channel.pipeline.syncOperations.addHandler(handler)
          return TTRPCClient(channel: channel, handler: NIOLoopBound(handler, eventLoop: channel.eventLoop))
        }
      }
    } catch {
      throw ContainerdError.unavailable("connect to \(path): \(error)")
    }
  }

  var isClosed: Bool { !channel.isActive }

  /// Calls `body` once when the connection has ended, whoever ended it; at once if it has. On the event loop: it must not block.
  func whenClosed(_ body: @escaping @Sendable () -> Void) {
    channel.closeFuture.whenComplete { _ in body() }
  }

  /// Calls one method and gives the answer's payload.
  ///
  /// - Parameter timeout: told to the server and kept here: `deadlineExceeded` when it is over. Cancelling the task gives the
  ///   call up with `canceled`; ttrpc cannot tell the server, whose late answer is dropped.
  func call(
    service: String, method: String, payload: [UInt8], timeout: Duration? = nil, metadata: [String: String] = [:]
  ) async throws -> [UInt8] {
    var request = Ttrpc_Request()
    request.service = service
    request.method = method
    request.payload = Bytes.data(payload)
    request.timeoutNano = timeout.map { TimeAmount($0).nanoseconds } ?? 0
    request.metadata = metadata.map { key, value in
      var pair = Ttrpc_KeyValue()
      pair.key = key
      pair.value = value
      return pair
    }
    let bytes: [UInt8] = try request.serializedBytes()
    let name = "\(service)/\(method)"
    if bytes.count > TTRPCFrame.maximumLength {
      throw ContainerdError(.resourceExhausted, "\(name): request of \(bytes.count) bytes, more than \(TTRPCFrame.maximumLength)")
    }
    let reply = OneShot<[UInt8]>()
    return try await withTaskCancellationHandler {
      handler.eventLoop.execute { [handler] in
        handler.value.send(ByteBuffer(bytes: bytes), name: name, timeout: timeout.map { TimeAmount($0) }, reply: reply)
      }
      return try await reply.value
    } onCancel: {
      reply.resolve(.failure(ContainerdError(.canceled, name)))
      handler.eventLoop.execute { [handler] in handler.value.forget(reply) }
    }
  }

  /// Ends the connection and returns when it has ended. Ending it twice is fine.
  func close() async {
    channel.close(promise: nil)
    // The future never fails: it only says that the channel is closed.
    try? await channel.closeFuture.get()
  }
}
