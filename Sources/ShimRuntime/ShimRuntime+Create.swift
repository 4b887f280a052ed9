import BlockingIO
import Protocols

extension ShimRuntime {
  /// Makes the bundle, starts a shim in it and has it make the container. If any step fails nothing is left: no bundle, no shim,
  /// no container.
  public func create(_ request: TaskCreation) async throws -> any ContainerTask {
    // Shims disagree about what this is; some only say that a file ended.
    if request.spec.value.isEmpty { throw ContainerdError.invalidArgument("create task \(request.id): the spec is empty") }
    let bundle = try Bundle(TaskKey(namespace: request.namespace, id: request.id), configuration: context.configuration)
    try registry.reserve(bundle.key)
    do {
      let task = try await make(request, in: bundle)
      registry.fill(bundle.key, with: task)
      task.watch()
      return task
    } catch {
      // A leftover turned out to be alive and is listed: it keeps its place.
      if registry.task(bundle.key) == nil { registry.release(bundle.key) }
      throw ContainerdError(classifying: error, "create task \(request.id)")
    }
  }

  private func make(_ request: TaskCreation, in bundle: Bundle) async throws -> ShimTask {
    let runtime = request.runtime.isEmpty ? name : request.runtime
    let finder = ShimBinary(configuration: context.configuration, searchPath: SearchPath.current)
    let binary = try await context.pool.run { () throws(ContainerdError) in try finder.path(for: runtime) }
    try await makeBundle(bundle, spec: request.spec.value)
    let launch = Launch(bundle: bundle, binary: binary, context: context)
    do {
      let log = try await launch.prepare()
      let service = try await launch.start(options: request.options)
      let pid = try await launch.create(request, service: service)
      // Whoever has gone away meanwhile would never learn of the task.
      try Task.checkCancellation()
      return ShimTask(
        bundle: bundle, service: service, binary: binary, log: log, pid: pid, context: context, onGone: releasing(bundle.key))
    } catch {
      await launch.undo()
      throw error
    }
  }

  /// Without keeping the registry, and with it every task, alive.
  func releasing(_ key: TaskKey) -> @Sendable () -> Void {
    { [weak registry] in registry?.release(key) }
  }

  /// A bundle that is already there belongs to no listed task: it is what could not be removed earlier, and is dealt with as at
  /// the start of the daemon.
  private func makeBundle(_ bundle: Bundle, spec: [UInt8]) async throws {
    do {
      try await context.pool.run { try bundle.make(spec: spec) }
    } catch let error as ContainerdError where error.code == .alreadyExists {
      if let living = try await recover(bundle) {
        registry.fill(bundle.key, with: living)
        living.watch()
        throw ContainerdError.alreadyExists("task \(bundle.key.id)")
      }
      try await context.pool.run { try bundle.make(spec: spec) }
    }
  }
}
