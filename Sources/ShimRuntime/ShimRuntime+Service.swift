import Protocols
import Synchronization

extension ShimRuntime {
  /// Opens the socket where shims deliver events. To be called before `reattach()`: shims that outlived the previous daemon
  /// deliver there what they had to keep.
  public func start() async throws {
    let server = try await TTRPCServer.listen(
      path: context.configuration.eventsAddress, group: context.group,
      methods: [EventForwarding.path: .inOrder(EventForwarding(events: context.events, registry: registry).forward)])
    eventServer.withLock { $0 = server }
  }

  /// Lets go of all shims and closes the events socket. Every container goes on.
  public func stop() async {
    for task in registry.all() { await task.detach() }
    let server = eventServer.withLock { server in
      defer { server = nil }
      return server
    }
    await server?.close()
  }
}
