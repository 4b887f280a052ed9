import BlockingIO
import Logging
import Protocols
import Synchronization

/// One container's task, kept by a shim.
///
/// Two things end a task: its deletion, and the death of its shim. Both happen once, in a task of their own that no caller's
/// cancellation can stop half-way; callers await it.
final class ShimTask: ContainerTask {
  let bundle: Bundle
  let service: ShimTaskService
  let context: ShimContext
  let binary: String
  private let log: BundleLog
  /// Takes the task out of the listing.
  private let onGone: @Sendable () -> Void
  private let state: Mutex<State>

  private struct State {
    var life = Life.live
    /// Pids by exec id; the init's under "". `Wait` answers without them.
    var pids: [String: UInt32]
    var exit: ExitStatus?
    /// Subscribers have been told of the init's end.
    var exitPublished = false
  }

  private enum Life {
    case live
    case ending(Task<ExitStatus, Never>, dead: Bool)
    case detached
  }

  var id: String { bundle.key.id }
  var namespace: String { bundle.key.namespace }

  init(
    bundle: Bundle, service: ShimTaskService, binary: String, log: BundleLog, pid: UInt32, exit: ExitStatus? = nil, context: ShimContext,
    onGone: @escaping @Sendable () -> Void
  ) {
    self.bundle = bundle
    self.service = service
    self.binary = binary
    self.log = log
    self.context = context
    self.onGone = onGone
    self.state = Mutex(State(pids: ["": pid], exit: exit))
  }

  deinit { log.close() }

  /// From now on the end of the connection means the death of the shim. Called once the task is listed.
  func watch() {
    service.client.whenClosed { [weak self] in
      self?.end(dead: true)
    }
  }

  // MARK: what is known of the processes

  var initPid: UInt32 { state.withLock { $0.pids[""] ?? 0 } }

  /// Remembers how the init ended, also for a daemon that comes after this one.
  func noteExit(_ exit: ExitStatus, published: Bool) {
    let isNew = state.withLock { state in
      if published { state.exitPublished = true }
      if state.exit != nil { return false }
      state.exit = exit
      return true
    }
    if !isNew { return }
    Task { [self] in
      do {
        try await context.pool.run { [bundle] in try bundle.write(exit: exit) }
      } catch  where isLive {
        context.logger(for: bundle.key).warning("exit of the container is not recorded: \(error)")
      } catch {
        // Deleted meanwhile, and the bundle with it: there is nothing to be remembered.
      }
    }
  }

  func notePid(_ pid: UInt32, exec: String) { state.withLock { $0.pids[exec] = pid } }
  func pid(exec: String?) -> UInt32 { state.withLock { $0.pids[exec ?? ""] ?? 0 } }
  func forget(exec: String) { state.withLock { $0.pids[exec] = nil } }

  var knownExit: (status: ExitStatus?, published: Bool) { state.withLock { ($0.exit, $0.exitPublished) } }

  private var isLive: Bool { state.withLock { if case .live = $0.life { true } else { false } } }

  // MARK: the end

  /// Begins the end of the task, if nobody has; gives what it comes to. Nil once the runtime has let go of the task.
  @discardableResult
  func end(dead: Bool) -> (outcome: Task<ExitStatus, Never>, dead: Bool)? {
    state.withLock { state in
      switch state.life {
      case .live:
        let outcome = Task { [self] in
          let status = dead ? await cleanUpAfterDeadShim() : await takeAway()
          log.close()
          onGone()
          return status
        }
        state.life = .ending(outcome, dead: dead)
        return (outcome, dead)
      case .ending(let outcome, let wasDead):
        return (outcome, wasDead)
      case .detached:
        return nil
      }
    }
  }

  /// Lets go of the shim without ending it.
  func detach() async {
    state.withLock { state in
      if case .live = state.life { state.life = .detached }
    }
    await service.client.close()
    log.close()
  }

  /// Asks the shim. A shim that has died is cleaned up after first, so that `notFound` is the truth for good.
  func ask<Answer: Sendable>(_ body: (ShimTaskService) async throws -> Answer) async throws -> Answer {
    let ending: Task<ExitStatus, Never>? = state.withLock { if case .ending(let outcome, dead: false) = $0.life { outcome } else { nil } }
    if let ending {
      // Until all of it is gone its id is taken.
      _ = await ending.value
      throw ContainerdError.notFound("task \(id)")
    }
    do {
      return try await body(service)
    } catch let error as ContainerdError where error.code == .unavailable && service.client.isClosed {
      guard let ending = end(dead: true) else { throw error }
      _ = await ending.outcome.value
      throw ContainerdError.notFound("task \(id): its shim has ended")
    } catch {
      throw ShimComplaint.classified(error, "task \(id)")
    }
  }
}
