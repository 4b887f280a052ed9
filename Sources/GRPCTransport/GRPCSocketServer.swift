import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOCore
import NIOPosix

/// A gRPC server on a unix socket, tuned for grpc-go clients on the same machine.
public struct GRPCSocketServer: Sendable {
  /// containerd's limit for one message, both ways.
  public static let maximumMessageSize = 16 << 20

  /// One thread serves every socket of this process. It is never ended: whatever a connection still has to say at its end is said on it.
  private static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let server: GRPCServer<UnknownMethods<HTTP2ServerTransport.Custom<UnixListener>>>

  /// - Parameter inherited: a socket that listens already, in the place of one at the path.
  public init(
    socket path: String, uid: UInt32? = nil, gid: UInt32? = nil, maximumMessageSize: Int = Self.maximumMessageSize, services: [any RegistrableRPCService],
    interceptors: [any ServerInterceptor] = [], inherited: Int32? = nil
  ) {
    var config = HTTP2ServerTransport.Custom<UnixListener>.Config.defaults
    // The default holds every reply back up to 100 µs in the hope of company.
    config.connection.flushCoalescing = nil
    // grpc-go pings idle connections too; grpc-swift would answer with GOAWAY (grpc/grpc-swift-2#5).
    config.connection.keepalive.clientBehavior = .init(minPingIntervalWithoutCalls: .zero, allowWithoutCalls: true)
    config.http2.targetWindowSize = 8 << 20
    config.http2.maxFrameSize = 1 << 20
    // grpc-go opens a stream for each layer at once before it has seen a limit, and swift-nio-http2 ends the connection at the 101st.
    config.http2.maxConcurrentStreams = 1 << 16
    config.rpc.maxRequestPayloadSize = maximumMessageSize
    config.channelDebuggingCallbacks.onAcceptHTTP2Stream = StreamResets.announce
    let listener = UnixListener(path: path, uid: uid, gid: gid, group: Self.group, inherited: inherited)
    let transport = HTTP2ServerTransport.Custom(listenerFactory: listener, config: config)
    self.server = GRPCServer(transport: UnknownMethods(transport, services: services), services: services, interceptors: interceptors)
  }

  /// Serves until `stop`, or until the socket cannot be had.
  public func serve() async throws {
    try await withTaskExecutorPreference(EventLoopExecutor(loop: Self.group.next())) { try await server.serve() }
  }

  /// Takes no new calls; `serve` returns when the present ones have ended.
  public func stop() { server.beginGracefulShutdown() }
}
