import BlockingIO
import CLinux
import NIOCore
import NIOPosix
import Protocols
import SystemKit

/// A listener for ttrpc calls on a unix socket.
final class TTRPCServer: Sendable {
  struct Call: Sendable {
    var payload: [UInt8]
    var metadata: [String: String]
    /// What the caller allows; zero means for ever.
    var timeout: Duration
  }

  enum Method: Sendable {
    /// Runs on the connection's event loop, so calls of one connection are worked on in the order they arrive. Must not block.
    case inOrder(@Sendable (Call) throws -> [UInt8])
    /// Runs in a task of its own: answers may overtake each other.
    case concurrent(@Sendable (Call) async throws -> [UInt8])
  }

  private let channel: any Channel
  private let connections: Connections

  private init(channel: any Channel, connections: Connections) {
    self.channel = channel
    self.connections = connections
  }

  deinit { endAll() }

  /// - Parameter methods: by `package.Service/Method`. What is not there is answered with `notImplemented`.
  static func listen(path: String, group: any EventLoopGroup, methods: [String: Method]) async throws -> TTRPCServer {
    let connections = Connections()
    do {
      let bootstrap = ServerBootstrap(group: group).childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          connections.add(channel)
          try channel.pipeline.syncOperations.addHandler(TTRPCServerHandler(methods: methods))
        }
      }
      let channel = try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
      let server = TTRPCServer(channel: channel, connections: connections)
      // Only root's shims talk to it; connecting needs write permission on the socket file.
      try await BlockingPool(label: "ttrpc-listen", width: 1).run { () throws(SystemError) in
        _ = try check("chmod", path) { chmod(path, 0o600) }
      }
      return server
    } catch {
      throw ContainerdError.unavailable("listen on \(path): \(error)")
    }
  }

  /// Stops listening and ends every connection.
  func close() async {
    endAll()
    // The future never fails: it only says that the channel is closed.
    try? await channel.closeFuture.get()
  }

  private func endAll() {
    channel.close(promise: nil)
    for connection in connections.takeAll() { connection.close(promise: nil) }
  }
}
