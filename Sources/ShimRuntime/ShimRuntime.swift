import BlockingIO
import Logging
import NIOCore
import NIOPosix
import Protocols
import Synchronization

/// The daemon's side of shim v2: one shim process per container (or group) keeps the container; the daemon only talks to it.
///
/// Life of an instance: `start()` opens the events socket, `reattach()` finds the shims that outlived the previous daemon, then
/// tasks are made and used, `stop()` lets go of all shims without ending any. Dropping an instance is as good as a crash: the
/// next one finds everything again.
///
/// Threading: all methods may be called concurrently from any task.
public final class ShimRuntime: Runtime {
  public let name: String

  let context: ShimContext
  let registry = TaskRegistry()
  let eventServer = Mutex<TTRPCServer?>(nil)

  /// Makes nothing and starts nothing yet.
  ///
  /// - Parameter events: receives what the shims tell, and the exit and deletion of containers whose shim has died.
  public init(
    configuration: Configuration, events: any EventPublisher, logger: Logger, name: String = "io.containerd.ref.v2",
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) {
    self.name = name
    self.context = ShimContext(
      configuration: configuration, events: events, logger: logger, group: group, pool: BlockingPool(label: "shim-runtime"))
  }

  public func task(_ id: String, namespace: String) async throws -> any ContainerTask {
    guard let task = registry.task(TaskKey(namespace: namespace, id: id)) else { throw ContainerdError.notFound("task \(id)") }
    return task
  }

  public func tasks(in namespace: String) async throws -> [any ContainerTask] {
    registry.tasks(in: namespace)
  }
}

// Elsewhere:
//   start(), stop()    ShimRuntime+Service.swift
//   create(_:)         ShimRuntime+Create.swift
//   reattach()         ShimRuntime+Reattach.swift
