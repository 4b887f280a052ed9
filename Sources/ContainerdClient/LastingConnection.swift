import GRPCCore
import Protocols
import Synchronization

/// A connection to a plugin that comes and goes: made when it is first asked for, and by itself again whenever it was lost.
///
/// Calls wait while it is being made, however long that takes: the caller sets the limit.
public final class LastingConnection: Sendable {
  private struct State {
    var client: GRPCClient<ContainerdClient.Transport>?
    var connections: Task<Void, any Error>?
    var ended = false
  }

  private let socket: String
  private let state = Mutex(State())

  public init(socket: String) { self.socket = socket }

  /// The plugin as a client sees it, without a namespace. `failedPrecondition` after `end`.
  public func client() throws -> ContainerdClient {
    try state.withLock { state in
      if state.ended { throw ContainerdError.failedPrecondition("the connection to \(socket) has been ended") }
      if let client = state.client { return ContainerdClient(client: client, scope: Scope(namespace: "")) }
      let client = GRPCClient(transport: try ContainerdClient.transport(to: socket, lasting: true))
      state.client = client
      state.connections = Task { try await client.runConnections() }
      return ContainerdClient(client: client, scope: Scope(namespace: ""))
    }
  }

  /// Calls under way fail.
  public func end() async {
    let (client, connections) = state.withLock { state in
      state.ended = true
      return (state.client, state.connections)
    }
    client?.beginGracefulShutdown()
    connections?.cancel()
    _ = await connections?.result
  }
}
