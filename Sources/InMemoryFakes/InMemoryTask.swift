import Protocols
import Synchronization

/// One container's processes. Deleted, it answers `notFound` to everything.
final class InMemoryTask: ContainerTask {
  struct Process {
    var pid: UInt32
    var status: ProcessStatus
    var io: TaskIO
    var exit: ExitStatus?
    var size: (width: UInt32, height: UInt32)?
    var stdinClosed = false
    var waiters: [Int: CheckedContinuation<ExitStatus, any Error>] = [:]
  }
  private struct State {
    /// The init's key is nil.
    var processes: [String?: Process]
    var resources: TypedValue?
    var deleted = false
    var lastWaiter = 0
    var cancelled: Set<Int> = []
  }

  let id: String
  let namespace: String
  private let runtime: InMemoryRuntime
  private let state: Mutex<State>

  init(runtime: InMemoryRuntime, request: TaskCreation, pid: UInt32) {
    self.id = request.id
    self.namespace = request.namespace
    self.runtime = runtime
    self.state = Mutex(State(processes: [nil: Process(pid: pid, status: .created, io: request.io)]))
  }

  func state(exec: String?) async throws -> ProcessState {
    try await enter("state", exec)
    return try state.withLock { state in
      let process = try process(state, exec)
      return ProcessState(
        containerID: id, execID: exec, pid: process.pid, status: process.status, io: process.io, exit: process.exit, bundle: "/fake/\(namespace)/\(id)")
    }
  }

  func start(exec: String?) async throws -> UInt32 {
    let after = try await enter("start", exec)
    let pid = try state.withLock { state in
      var process = try process(state, exec)
      if process.status != .created { throw ContainerdError.failedPrecondition("\(named(exec)) has been started already") }
      if exec != nil { try live(state) }
      if process.pid == 0 { process.pid = runtime.nextPID() }
      process.status = .running
      state.processes[exec] = process
      return process.pid
    }
    if let code = runtime.scriptedExit(id, exec) { finish(exec: exec, code: code) }
    try after.finish()
    return pid
  }

  func exec(_ request: ExecCreation) async throws {
    let after = try await enter("exec", request.id)
    try Identifiers.validate(request.id, kind: "exec id")
    try state.withLock { state in
      _ = try process(state, nil)
      if state.processes[request.id] != nil { throw ContainerdError.alreadyExists("exec \(request.id) of task \(id)") }
      try live(state)
      state.processes[request.id] = Process(pid: 0, status: .created, io: request.io)
    }
    try after.finish()
  }

  func kill(exec: String?, signal: UInt32, all: Bool) async throws {
    let after = try await enter("kill", exec, "\(signal)")
    try state.withLock { state in
      let process = try process(state, exec)
      if process.exit != nil { throw ContainerdError.notFound("\(named(exec)): process already finished") }
      if exec != nil && process.status == .created { throw ContainerdError.failedPrecondition("\(named(exec)) has not been started") }
    }
    if signal != 0, !runtime.ignores(signal) { finish(exec: exec, code: 128 + signal) }
    try after.finish()
  }

  func wait(exec: String?) async throws -> ExitStatus {
    try await enter("wait", exec)
    let number = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let answer: Result<ExitStatus, any Error>? = state.withLock { state in
          do {
            var process = try process(state, exec)
            if let exit = process.exit { return .success(exit) }
            if state.cancelled.remove(number) != nil { return .failure(cancelled(exec)) }
            process.waiters[number] = continuation
            state.processes[exec] = process
            return nil
          } catch { return .failure(error) }
        }
        if let answer { continuation.resume(with: answer) }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        let waiter = state.processes[exec]?.waiters.removeValue(forKey: number)
        // Cancelled before it began to wait: it must not begin.
        if waiter == nil { state.cancelled.insert(number) }
        return waiter
      }
      waiter?.resume(throwing: cancelled(exec))
    }
  }

  func delete(exec: String?) async throws -> ExitStatus {
    let after = try await enter("delete", exec)
    let (exit, waiters) = try state.withLock { state in
      let process = try process(state, exec)
      if [.running, .paused, .pausing].contains(process.status) { throw ContainerdError.failedPrecondition("\(named(exec)) is still running") }
      if exec == nil { state.deleted = true }
      state.processes[exec] = nil
      // One that was never started has nothing better to tell than that it was killed.
      return (process.exit ?? ExitStatus(pid: process.pid, code: 137, exitedAt: runtime.now()), Array(process.waiters.values))
    }
    for waiter in waiters { waiter.resume(returning: exit) }
    if exec == nil { runtime.forget(self) }
    publish(.taskDelete(container: id, id: exec ?? id, exit: exit))
    try after.finish()
    return exit
  }

  func pids() async throws -> [UInt32] {
    try await enter("pids", nil)
    return try state.withLock { state in
      _ = try process(state, nil)
      return state.processes.values.filter { $0.exit == nil && $0.pid != 0 }.map(\.pid).sorted()
    }
  }

  func pause() async throws { try await turn("pause", from: .running, to: .paused) }
  func resume() async throws { try await turn("resume", from: .paused, to: .running) }

  private func turn(_ operation: String, from: ProcessStatus, to: ProcessStatus) async throws {
    let after = try await enter(operation, nil)
    try state.withLock { state in
      var process = try process(state, nil)
      if process.status != from { throw ContainerdError.failedPrecondition("task \(id) is \(process.status.rawValue), not \(from.rawValue)") }
      process.status = to
      state.processes[nil] = process
    }
    try after.finish()
  }

  func resize(exec: String?, width: UInt32, height: UInt32) async throws {
    try await enter("resize", exec, "\(width)", "\(height)")
    try state.withLock { state in
      _ = try process(state, exec)
      state.processes[exec]?.size = (width, height)
    }
  }

  func closeStdin(exec: String?) async throws {
    try await enter("closeStdin", exec)
    try state.withLock { state in
      _ = try process(state, exec)
      state.processes[exec]?.stdinClosed = true
    }
  }

  func update(_ resources: TypedValue, annotations: Labels) async throws {
    try await enter("update", nil)
    try state.withLock { state in
      _ = try process(state, nil)
      state.resources = resources
    }
  }

  /// The limits last set, or nothing: an empty message is valid.
  func stats() async throws -> TypedValue {
    try await enter("stats", nil)
    return try state.withLock { state in
      _ = try process(state, nil)
      return TypedValue(typeURL: "io.containerd.cgroups.v2.Metrics", value: [])
    }
  }

  func checkpoint(path: String, options: TypedValue?) async throws {
    try await enter("checkpoint", nil, path)
    throw ContainerdError.notImplemented("checkpoint of task \(id)")
  }

  /// A live process ends; with the init, as in a process id namespace, all the others.
  func finish(exec: String?, code: UInt32) {
    let time = runtime.now()
    typealias End = (exec: String?, exit: ExitStatus, waiters: [CheckedContinuation<ExitStatus, any Error>])
    let ends = state.withLock { state -> [End] in
      let others = exec == nil ? state.processes.keys.filter { $0 != nil }.map { ($0, UInt32(137)) } : []
      return (others + [(exec, code)]).compactMap { exec, code in
        guard var process = state.processes[exec], process.exit == nil else { return nil }
        let exit = ExitStatus(pid: process.pid, code: code, exitedAt: time)
        let waiters = Array(process.waiters.values)
        process.exit = exit
        process.status = .stopped
        process.waiters = [:]
        state.processes[exec] = process
        return (exec, exit, waiters)
      }
    }
    for end in ends {
      for waiter in end.waiters { waiter.resume(returning: end.exit) }
      publish(.taskExit(container: id, id: end.exec ?? id, exit: end.exit))
    }
  }

  // MARK: helpers

  @discardableResult
  private func enter(_ operation: String, _ exec: String?, _ arguments: String...) async throws -> FaultPlan.Aftermath {
    try await runtime.instrument.enter("task.\(operation)", ([id] + [exec].compactMap { $0 } + arguments).joined(separator: " "))
  }

  private func process(_ state: borrowing State, _ exec: String?) throws -> Process {
    if state.deleted { throw ContainerdError.notFound("task \(id)") }
    guard let process = state.processes[exec] else { throw ContainerdError.notFound(named(exec)) }
    return process
  }

  /// Processes may be added from creation on, not while the task is paused and not after its end.
  private func live(_ state: borrowing State) throws {
    let status = try process(state, nil).status
    if status != .created && status != .running { throw ContainerdError.failedPrecondition("task \(id) is \(status.rawValue)") }
  }

  private func named(_ exec: String?) -> String { exec.map { "exec \($0) of task \(id)" } ?? "task \(id)" }
  private func cancelled(_ exec: String?) -> ContainerdError { ContainerdError(.canceled, "wait for \(named(exec))") }
  private func publish(_ event: Event) { runtime.events?.publish(EventEnvelope(timestamp: runtime.now(), namespace: namespace, event: event)) }
}
