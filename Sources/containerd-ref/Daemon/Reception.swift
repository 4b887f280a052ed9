import GRPCFrontend
import GRPCTransport
import Logging
import Protocols
import Synchronization

/// The socket of a snapshotter, which can be served before the snapshotter is there: its clients are greeted, and their calls wait.
///
/// Containerd gives a new connection one second to be greeted, and fails every call until it has another.
final class Reception: Sendable {
  private let snapshotter = AwaitedSnapshotter()
  private let server: GRPCSocketServer
  private let serving = Mutex<Task<Void, any Error>?>(nil)

  init(socket: String, inherited: Int32?, logger: Logger) {
    server = GRPCSocketServer(
      socket: socket, services: GRPCFrontend.services(snapshotter: snapshotter), interceptors: [ContainerdInterceptor(logger: logger)],
      inherited: inherited)
  }

  /// From here on clients are greeted. May be called again.
  @discardableResult func open() -> Task<Void, any Error> {
    serving.withLock { serving in
      if let serving { return serving }
      let task = Task { [server] in try await server.serve() }
      serving = task
      return task
    }
  }

  /// Answers calls until `stop`, or until the task is cancelled. To be called once.
  func serve(_ snapshotter: any Snapshotter) async throws {
    self.snapshotter.become(snapshotter)
    let task = open()
    try await withTaskCancellationHandler {
      try await task.value
    } onCancel: {
      task.cancel()
    }
  }

  /// Takes no new calls; `serve` returns when the present ones have ended.
  func stop() { server.stop() }
}
