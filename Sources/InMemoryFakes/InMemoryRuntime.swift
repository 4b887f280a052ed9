import Protocols
import Synchronization

/// Tasks without processes: the whole state machine, driven by calls, scripts and `finish`.
///
///     let runtime = InMemoryRuntime(events: exchange)
///     runtime.scriptExit(3, of: "job")             // exits by itself as soon as it is started
///     …
///     runtime.finish("server", namespace: "default", code: 0)
///
/// Trace and fault names: `runtime.create`, `.task`, `.tasks`, and `.task.X` for every operation X of `ContainerTask`.
public final class InMemoryRuntime: Runtime {
  struct Key: Hashable {
    var namespace: String
    var id: String
  }
  struct ScriptKey: Hashable {
    var container: String
    var exec: String?
  }
  private struct State {
    var tasks: [Key: InMemoryTask] = [:]
    var scripts: [ScriptKey: UInt32] = [:]
    var ignored: Set<UInt32> = []
    var lastPID: UInt32 = 1000
  }

  public let name: String
  let instrument: Instrument
  let events: (any EventPublisher)?
  let now: @Sendable () -> Timestamp
  private let state = Mutex(State())

  public init(
    name: String = "io.containerd.fake.v2", trace: CallTrace = CallTrace(), faults: FaultPlan = FaultPlan(), events: (any EventPublisher)? = nil,
    now: @escaping @Sendable () -> Timestamp = Timestamp.now
  ) {
    self.name = name
    self.instrument = Instrument(component: "runtime", trace: trace, faults: faults)
    self.events = events
    self.now = now
  }

  // MARK: for tests, not traced

  /// The process exits with this code as soon as it is started.
  public func scriptExit(_ code: UInt32, of container: String, exec: String? = nil) {
    state.withLock { $0.scripts[ScriptKey(container: container, exec: exec)] = code }
  }

  /// Programs ignore this signal. SIGKILL cannot be ignored.
  public func ignore(signal: UInt32) { state.withLock { _ = $0.ignored.insert(signal) } }

  /// A running process exits by itself. What is not running is left alone.
  public func finish(_ id: String, namespace: String, exec: String? = nil, code: UInt32) {
    state.withLock { $0.tasks[Key(namespace: namespace, id: id)] }?.finish(exec: exec, code: code)
  }

  // MARK: Runtime

  public func create(_ request: TaskCreation) async throws -> any ContainerTask {
    let after = try await instrument.enter("create", request.namespace, request.id)
    try Identifiers.validate(request.id, kind: "container id")
    if request.spec.value.isEmpty { throw ContainerdError.invalidArgument("task \(request.id): the spec is empty") }
    let task = try state.withLock { state in
      let key = Key(namespace: request.namespace, id: request.id)
      if state.tasks[key] != nil { throw ContainerdError.alreadyExists("task \(request.id)") }
      state.lastPID += 1
      let task = InMemoryTask(runtime: self, request: request, pid: state.lastPID)
      state.tasks[key] = task
      return task
    }
    try after.finish()
    return task
  }

  public func task(_ id: String, namespace: String) async throws -> any ContainerTask {
    try await instrument.enter("task", namespace, id)
    guard let task = state.withLock({ $0.tasks[Key(namespace: namespace, id: id)] }) else { throw ContainerdError.notFound("task \(id)") }
    return task
  }

  public func tasks(in namespace: String) async throws -> [any ContainerTask] {
    try await instrument.enter("tasks", namespace)
    return state.withLock { $0.tasks.values.filter { $0.namespace == namespace }.sorted { $0.id < $1.id } }
  }

  // MARK: for tasks

  func nextPID() -> UInt32 {
    state.withLock { state in
      state.lastPID += 1
      return state.lastPID
    }
  }
  func scriptedExit(_ container: String, _ exec: String?) -> UInt32? { state.withLock { $0.scripts[ScriptKey(container: container, exec: exec)] } }
  func ignores(_ signal: UInt32) -> Bool { signal != 9 && state.withLock { $0.ignored.contains(signal) } }
  func forget(_ task: InMemoryTask) { state.withLock { _ = $0.tasks.removeValue(forKey: Key(namespace: task.namespace, id: task.id)) } }
}
