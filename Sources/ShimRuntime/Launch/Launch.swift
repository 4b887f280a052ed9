import BlockingIO
import Logging
import Protocols
import Synchronization

/// The steps from a bundle to a container, and their undoing.
final class Launch: Sendable {
  private let bundle: Bundle
  private let binary: String
  private let context: ShimContext
  private let reached = Mutex(Reached())

  /// What has been done so far and must be undone.
  private struct Reached {
    var log: BundleLog?
    var startTried = false
    var service: ShimTaskService?
  }

  init(bundle: Bundle, binary: String, context: ShimContext) {
    self.bundle = bundle
    self.binary = binary
    self.context = context
  }

  /// What must be there before a shim runs: the note which shim it is, and a reader of its log.
  func prepare() async throws -> BundleLog {
    try await context.pool.run { [bundle, binary] in try bundle.write(shim: binary) }
    let log = try await BundleLog.open(bundle, group: context.group, logger: context.logger)
    reached.withLock { $0.log = log }
    return log
  }

  /// The address is on disk before anything is asked of the shim, so that a daemon that comes after a crash finds it.
  func start(options: TypedValue?) async throws -> ShimTaskService {
    reached.withLock { $0.startTried = true }
    let command = ShimCommand(binary: binary, bundle: bundle, configuration: context.configuration)
    let endpoint = try await context.pool.run { [bundle] in
      let endpoint = try command.start(options: options)
      try bundle.write(endpoint)
      return endpoint
    }
    let client = try await TTRPCClient.connect(
      path: endpoint.socketPath, group: context.group, timeout: context.configuration.reattachTimeout)
    let service = ShimTaskService(client: client, service: endpoint.service, namespace: bundle.key.namespace, id: bundle.key.id)
    reached.withLock { $0.service = service }
    return service
  }

  func create(_ request: TaskCreation, service: ShimTaskService) async throws -> UInt32 {
    let pid = try await service.create(request, bundle: bundle.path)
    let shim = try await service.connect()
    context.logger(for: bundle.key).debug("task created", metadata: ["pid": "\(pid)", "shim": "\(shim)"])
    return pid
  }

  /// Takes back every step, also when the caller has been cancelled: the cancellation does not reach a task of its own.
  func undo() async {
    await Task { await undoAll() }.value
  }

  private func undoAll() async {
    let reached = reached.withLock { $0 }
    if let service = reached.service { await BrokenShim(service: service, bundle: bundle, context: context).end() }
    if reached.startTried {
      await BundleCleanup(bundle: bundle, binary: binary, context: context).run()
    } else {
      await context.attempt("bundle is left behind", for: bundle.key, level: .error) {
        try await context.pool.run { [bundle] in try bundle.remove() }
      }
    }
    reached.log?.close()
  }
}

/// A shim that runs without a container that anybody knows of.
struct BrokenShim {
  var service: ShimTaskService
  var bundle: Bundle
  var context: ShimContext

  func end() async {
    let configuration = context.configuration
    // A creation that the caller gave up may have been finished by the shim meanwhile; mostly there is nothing to delete.
    await context.attempt("nothing to delete", for: bundle.key, level: .debug) {
      _ = try await service.delete(exec: nil, timeout: configuration.reattachTimeout)
    }
    await context.attempt("shim does not shut down", for: bundle.key) {
      try await service.shutdown(timeout: configuration.shutdownTimeout)
    }
    await service.client.close()
  }
}
