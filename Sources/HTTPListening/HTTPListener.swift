import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Takes connections and speaks HTTP/1.1 on them.
public final class HTTPListener: Sendable {
  public typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

  private let listener: NIOAsyncChannel<Connection, Never>
  private let accepted: AcceptedChannels
  /// Where it listens; nil if the system does not say.
  public var port: Int? { listener.channel.localAddress?.port }

  /// Listens; connections are taken while `run` runs. Errors as NIO's.
  public init(at address: SocketAddress, backlog: Int32) async throws {
    let accepted = AcceptedChannels()
    self.accepted = accepted
    listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .serverChannelOption(.backlog, value: backlog)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
      .bind(to: address) { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
          let connection = try Connection(wrappingChannelSynchronously: channel)
          accepted.add(connection)
          return connection
        }
      }
  }

  /// Serves each connection in a task of its own, numbered from 0, until this task is cancelled, which cancels those; then every connection is closed. Call it once.
  public func run(_ serve: @escaping @Sendable (Connection, Int) async -> Void) async throws {
    defer { accepted.close() }
    try await listener.executeThenClose { connections in
      try await withThrowingDiscardingTaskGroup { group in
        var number = 0
        for try await connection in connections {
          group.addTask { [number] in await serve(connection, number) }
          number += 1
        }
        group.cancelAll()
      }
    }
  }
}

/// Every connection that was accepted and is open. At its end a listener drops those that nobody has taken yet: NIO ends the process for a `NIOAsyncChannel` that
/// is dropped while it is open, and whoever has connected would wait for ever.
private final class AcceptedChannels: Sendable {
  private struct State {
    var isClosed = false
    var open: [ObjectIdentifier: HTTPListener.Connection] = [:]
  }
  private let state = Mutex(State())

  func add(_ connection: HTTPListener.Connection) {
    let id = ObjectIdentifier(connection.channel)
    let isClosed = state.withLock { state in
      state.open[id] = connection
      return state.isClosed
    }
    // By then its handlers have been told.
    connection.channel.closeFuture.whenComplete { [self] _ in state.withLock { $0.open[id] = nil } }
    if isClosed { connection.channel.close(promise: nil) }
  }

  func close() {
    let open = state.withLock { state in
      state.isClosed = true
      return state.open.values.map(\.channel)
    }
    for channel in open { channel.close(promise: nil) }
  }
}
