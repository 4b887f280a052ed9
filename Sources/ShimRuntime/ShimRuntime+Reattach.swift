import BlockingIO
import CLinux
import Logging
import Protocols
import SystemKit

extension ShimRuntime {
  /// Finds again what the previous daemon left: lists the tasks whose shims live, cleans up after those that do not, removes what
  /// belongs to nobody. To be called once, after `start()` and before clients are served. Never fails: what cannot be dealt with
  /// is told in the log and left as it is.
  public func reattach() async {
    let bundles = await found(below: context.configuration.bundles)
    await withDiscardingTaskGroup { group in
      for key in bundles { group.addTask { await self.reattach(key) } }
    }
    await removeUnusedWork()
  }

  private func reattach(_ key: TaskKey) async {
    await context.attempt("bundle cannot be loaded", for: key, level: .error) {
      let bundle = try Bundle(key, configuration: context.configuration)
      try registry.reserve(key)
      do {
        guard let task = try await recover(bundle) else { return registry.release(key) }
        registry.fill(key, with: task)
        task.watch()
      } catch {
        registry.release(key)
        throw error
      }
    }
  }

  /// What a bundle on disk stands for: a task, or nothing, and then it has been removed.
  func recover(_ bundle: Bundle) async throws -> ShimTask? {
    let notes = try await context.pool.run { (shim: try bundle.shim(), endpoint: try bundle.endpoint(), exit: try bundle.exit()) }
    guard notes.shim != nil || notes.endpoint != nil else {
      // The daemon died before it started a shim.
      try await context.pool.run { try bundle.remove() }
      return nil
    }
    let binary = if let shim = notes.shim { shim } else { try await shimByDefault() }
    let cleanup = BundleCleanup(bundle: bundle, binary: binary, context: context)
    guard let endpoint = notes.endpoint else {
      // It died while the shim was starting: no container was asked for, nobody was told of one.
      await cleanup.run()
      return nil
    }
    let log = try await openLog(bundle)
    do {
      let (service, state) = try await reach(bundle, endpoint)
      guard let state else {
        await BrokenShim(service: service, bundle: bundle, context: context).end()
        await cleanup.run()
        log.close()
        return nil
      }
      context.logger(for: bundle.key).info("task found again", metadata: ["status": "\(state.status.rawValue)", "pid": "\(state.pid)"])
      return ShimTask(
        bundle: bundle, service: service, binary: binary, log: log, pid: state.pid, exit: state.exit ?? notes.exit, context: context,
        onGone: releasing(bundle.key))
    } catch {
      context.logger(for: bundle.key).warning("shim does not answer, cleaning up after it: \(error)")
      let leftover = await cleanup.run()
      log.close()
      let exit = notes.exit ?? leftover ?? ExitStatus(pid: 0, code: ShimTask.unknownEnd, exitedAt: .now())
      DeadTaskEvents(key: bundle.key, exit: exit).publish(to: context.events, exitIsKnown: false)
      return nil
    }
  }

  /// The state of the container in its shim; nil if the shim knows of none, because the daemon died before it asked for one.
  ///
  /// One budget for everything: a shim that hangs must not keep the daemon from serving.
  private func reach(_ bundle: Bundle, _ endpoint: ShimEndpoint) async throws -> (ShimTaskService, ProcessState?) {
    let deadline = ContinuousClock.now + context.configuration.reattachTimeout
    let client = try await TTRPCClient.connect(
      path: endpoint.socketPath, group: context.group, timeout: context.configuration.reattachTimeout)
    let service = ShimTaskService(client: client, service: endpoint.service, namespace: bundle.key.namespace, id: bundle.key.id)
    do {
      // One that has taken the connection is not dead because this process was late.
      return (service, try await service.state(exec: nil, timeout: max(deadline - .now, .seconds(1))))
    } catch let error as ContainerdError where error.code == .notFound {
      return (service, nil)
    } catch {
      await client.close()
      throw error
    }
  }

  /// A bundle that another daemon made need not have a FIFO.
  private func openLog(_ bundle: Bundle) async throws -> BundleLog {
    try await context.pool.run { () throws(SystemError) in
      if mkfifo(bundle.log, 0o600) != 0 && clinux_errno() != EEXIST { throw SystemError.last("mkfifo", bundle.log) }
    }
    return try await BundleLog.open(bundle, group: context.group, logger: context.logger)
  }

  private func shimByDefault() async throws -> String {
    let finder = ShimBinary(configuration: context.configuration, searchPath: SearchPath.current)
    let name = name
    return try await context.pool.run { () throws(ContainerdError) in try finder.path(for: name) }
  }

  /// `<directory>/<namespace>/<id>`. Whatever else lies there is not ours, except removals cut short (`.<id>`), which are finished.
  private func found(below directory: String) async -> [TaskKey] {
    let logger = context.logger
    return await context.pool.run {
      var keys: [TaskKey] = []
      for namespace in Self.names(in: directory, logger) where Self.isIdentifier(namespace) {
        for name in Self.names(in: "\(directory)/\(namespace)", logger) {
          if Self.isIdentifier(name) {
            keys.append(TaskKey(namespace: namespace, id: name))
          } else if name.hasPrefix("."), Self.isIdentifier(String(name.dropFirst())) {
            let path = "\(directory)/\(namespace)/\(name)"
            do { try Files.removeTree(path) } catch { logger.error("removed bundle is left behind: \(error)") }
          }
        }
      }
      return keys
    }
  }

  private func removeUnusedWork() async {
    for key in await found(below: context.configuration.work) where !registry.contains(key) {
      await context.attempt("work directory is left behind", for: key) {
        let bundle = try Bundle(key, configuration: context.configuration)
        try await context.pool.run { () throws(SystemError) in
          // A bundle that could not be loaded keeps its work directory.
          if !Files.exists(bundle.path) { try Files.removeTree(bundle.workPath) }
        }
      }
    }
  }

  private static func isIdentifier(_ name: String) -> Bool {
    do {
      try Identifiers.validate(name, kind: "name")
      return true
    } catch {
      return false
    }
  }

  private static func names(in directory: String, _ logger: Logger) -> [String] {
    do throws(SystemError) {
      return try Files.names(in: directory)
    } catch {
      if error.errno != ENOENT && error.errno != ENOTDIR { logger.error("\(error)") }
      return []
    }
  }
}
