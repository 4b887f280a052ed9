import FrameShield
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOCore

/// A gRPC connection to a unix socket, for cases that look at the wire itself.
public final class WireConnection: Sendable {
  public typealias Transport = HTTP2ClientTransport.Posix

  public let client: GRPCClient<Transport>
  private let connections: Task<Void, Never>

  /// - Parameter authority: what the client claims to talk to; on a unix socket it means nothing.
  public init(socket: String, authority: String = "localhost", interceptors: [any ClientInterceptor] = []) throws {
    let transport = try Transport(
      target: .unixDomainSocket(path: socket, authority: authority), transportSecurity: .plaintext,
      config: .defaults {
        $0.channelDebuggingCallbacks.onCreateTCPConnection = { channel in
          channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(FrameShield(at: .client), position: .first) }
        }
      })
    let client = GRPCClient(transport: transport, interceptors: interceptors)
    self.client = client
    // How a connection ends is seen by the calls on it.
    connections = Task { _ = try? await client.runConnections() }
  }

  public func close() {
    client.beginGracefulShutdown()
    connections.cancel()
  }

  /// Connects for the time of the body.
  public static func with<Value: Sendable>(
    socket: String, authority: String = "localhost", interceptors: [any ClientInterceptor] = [], _ body: @Sendable (WireConnection) async throws -> Value
  ) async throws -> Value {
    let connection = try WireConnection(socket: socket, authority: authority, interceptors: interceptors)
    defer { connection.close() }
    return try await body(connection)
  }
}
