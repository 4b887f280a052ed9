import Protocols

/// A runtime around another. Every call is handed on, but those that are given here; its tasks are wrapped too.
struct RuntimeWrapper: Runtime {
  let base: any Runtime
  var onCreate: (@Sendable (any Runtime, TaskCreation) async throws -> any ContainerTask)?
  var onTask: (@Sendable (any Runtime, _ id: String, _ namespace: String) async throws -> any ContainerTask)?
  var onTasks: (@Sendable (any Runtime, _ namespace: String) async throws -> [any ContainerTask])?
  var task: @Sendable (inout TaskWrapper) -> Void = { _ in }

  init(_ base: any Runtime, _ change: (inout RuntimeWrapper) -> Void) {
    self.base = base
    change(&self)
  }

  var name: String { base.name }
  func create(_ request: TaskCreation) async throws -> any ContainerTask {
    if let onCreate { return TaskWrapper(try await onCreate(base, request), task) }
    return TaskWrapper(try await base.create(request), task)
  }
  func task(_ id: String, namespace: String) async throws -> any ContainerTask {
    if let onTask { return TaskWrapper(try await onTask(base, id, namespace), task) }
    return TaskWrapper(try await base.task(id, namespace: namespace), task)
  }
  func tasks(in namespace: String) async throws -> [any ContainerTask] {
    let found = if let onTasks { try await onTasks(base, namespace) } else { try await base.tasks(in: namespace) }
    return found.map { TaskWrapper($0, task) }
  }
}

/// A task around another. Every call is handed on, but those that are given here.
struct TaskWrapper: ContainerTask {
  typealias Base = any ContainerTask

  let base: Base
  var onState: (@Sendable (Base, _ exec: String?) async throws -> ProcessState)?
  var onStart: (@Sendable (Base, _ exec: String?) async throws -> UInt32)?
  var onExec: (@Sendable (Base, ExecCreation) async throws -> Void)?
  var onKill: (@Sendable (Base, _ exec: String?, _ signal: UInt32, _ all: Bool) async throws -> Void)?
  var onWait: (@Sendable (Base, _ exec: String?) async throws -> ExitStatus)?
  var onDelete: (@Sendable (Base, _ exec: String?) async throws -> ExitStatus)?
  var onPids: (@Sendable (Base) async throws -> [UInt32])?
  var onPause: (@Sendable (Base) async throws -> Void)?
  var onResume: (@Sendable (Base) async throws -> Void)?
  var onStats: (@Sendable (Base) async throws -> TypedValue)?

  init(_ base: Base, _ change: (inout TaskWrapper) -> Void) {
    self.base = base
    change(&self)
  }

  var id: String { base.id }
  var namespace: String { base.namespace }
  func state(exec: String?) async throws -> ProcessState {
    if let onState { return try await onState(base, exec) }
    return try await base.state(exec: exec)
  }
  func start(exec: String?) async throws -> UInt32 {
    if let onStart { return try await onStart(base, exec) }
    return try await base.start(exec: exec)
  }
  func exec(_ request: ExecCreation) async throws {
    if let onExec { return try await onExec(base, request) }
    try await base.exec(request)
  }
  func kill(exec: String?, signal: UInt32, all: Bool) async throws {
    if let onKill { return try await onKill(base, exec, signal, all) }
    try await base.kill(exec: exec, signal: signal, all: all)
  }
  func wait(exec: String?) async throws -> ExitStatus {
    if let onWait { return try await onWait(base, exec) }
    return try await base.wait(exec: exec)
  }
  func delete(exec: String?) async throws -> ExitStatus {
    if let onDelete { return try await onDelete(base, exec) }
    return try await base.delete(exec: exec)
  }
  func pids() async throws -> [UInt32] {
    if let onPids { return try await onPids(base) }
    return try await base.pids()
  }
  func pause() async throws {
    if let onPause { return try await onPause(base) }
    try await base.pause()
  }
  func resume() async throws {
    if let onResume { return try await onResume(base) }
    try await base.resume()
  }
  func stats() async throws -> TypedValue {
    if let onStats { return try await onStats(base) }
    return try await base.stats()
  }
  func resize(exec: String?, width: UInt32, height: UInt32) async throws { try await base.resize(exec: exec, width: width, height: height) }
  func closeStdin(exec: String?) async throws { try await base.closeStdin(exec: exec) }
  func update(_ resources: TypedValue, annotations: Labels) async throws { try await base.update(resources, annotations: annotations) }
  func checkpoint(path: String, options: TypedValue?) async throws { try await base.checkpoint(path: path, options: options) }
}
