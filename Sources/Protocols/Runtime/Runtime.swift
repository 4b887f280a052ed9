/// # Runtime
///
/// A runtime makes *tasks*: the running side of a container. `create` makes the whole environment (namespaces, cgroup, root file
/// system, mounts) and runs nothing of the user's; `start` runs the user's program. Between the two, anybody may enter the
/// network namespace of `pid` and add interfaces.
///
/// A task's life is not the daemon's life: after a restart, `tasks` lists what still runs, `wait` delivers the status of what
/// has exited meanwhile.
///
/// Every error is a `ContainerdError`. All methods may be called concurrently.
public protocol Runtime: Sendable {
  /// The name clients ask for, `io.containerd.ref.v2`.
  var name: String { get }

  /// `alreadyExists` if the container has a task; `invalidArgument` for a spec or options that cannot be used.
  func create(_ request: TaskCreation) async throws -> any ContainerTask

  /// `notFound` if the container has no task.
  func task(_ id: String, namespace: String) async throws -> any ContainerTask

  func tasks(in namespace: String) async throws -> [any ContainerTask]
}

public struct TaskCreation: Hashable, Sendable {
  public var namespace: String
  public var id: String
  /// The OCI runtime-spec as JSON, with its type URL.
  public var spec: TypedValue
  /// The root file system, performed by the shim.
  public var rootfs: [Mount]
  public var io: TaskIO
  /// Options of the runtime (`containerd.runc.v1.Options`), handed on unread.
  public var options: TypedValue?
  /// Which runtime the container asked for.
  public var runtime: String

  public init(
    namespace: String, id: String, spec: TypedValue, rootfs: [Mount], io: TaskIO = TaskIO(), options: TypedValue? = nil, runtime: String = ""
  ) {
    self.namespace = namespace
    self.id = id
    self.spec = spec
    self.rootfs = rootfs
    self.io = io
    self.options = options
    self.runtime = runtime
  }
}

/// Where a process's streams go: FIFO paths, `file://`, `binary://` URIs, or empty for nowhere.
public struct TaskIO: Hashable, Sendable {
  public var stdin: String
  public var stdout: String
  public var stderr: String
  public var terminal: Bool
  public init(stdin: String = "", stdout: String = "", stderr: String = "", terminal: Bool = false) {
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
    self.terminal = terminal
  }
}

/// One container's processes: the init (`exec == nil`) and the processes added by `exec`.
///
/// `notFound` for an exec that does not exist or was deleted; `notFound` for everything once the task is deleted.
public protocol ContainerTask: Sendable {
  var id: String { get }
  var namespace: String { get }

  func state(exec: String?) async throws -> ProcessState

  /// Runs the user's program, once: a second start is `failedPrecondition`. Returns its pid. If the program cannot be executed the
  /// error says why.
  func start(exec: String?) async throws -> UInt32

  /// Adds a process, not started. `alreadyExists` if the id is taken; `failedPrecondition` unless the task runs.
  func exec(_ request: ExecCreation) async throws

  /// `notFound` if the process has ended ("process already finished").
  func kill(exec: String?, signal: UInt32, all: Bool) async throws

  /// Waits for the end; at once if it has ended. Any number of waiters get the same answer.
  func wait(exec: String?) async throws -> ExitStatus

  /// Frees everything of a process that has ended; of the init also the task. `failedPrecondition` while it runs.
  func delete(exec: String?) async throws -> ExitStatus

  func pids() async throws -> [UInt32]
  func pause() async throws
  func resume() async throws
  func resize(exec: String?, width: UInt32, height: UInt32) async throws
  /// The process sees the end of its standard input.
  func closeStdin(exec: String?) async throws
  /// New limits, `LinuxResources` as JSON.
  func update(_ resources: TypedValue, annotations: Labels) async throws
  /// `io.containerd.cgroups.v1.Metrics` or `…v2.Metrics`.
  func stats() async throws -> TypedValue
  func checkpoint(path: String, options: TypedValue?) async throws
}

public struct ExecCreation: Hashable, Sendable {
  public var id: String
  /// The OCI runtime-spec `process` object as JSON.
  public var process: TypedValue
  public var io: TaskIO
  public init(id: String, process: TypedValue, io: TaskIO) {
    self.id = id
    self.process = process
    self.io = io
  }
}

public enum ProcessStatus: String, Hashable, Sendable { case unknown, created, running, stopped, paused, pausing }

public struct ProcessState: Hashable, Sendable {
  public var containerID: String
  public var execID: String?
  public var pid: UInt32
  public var status: ProcessStatus
  public var io: TaskIO
  public var exit: ExitStatus?
  public var bundle: String
  public init(
    containerID: String, execID: String? = nil, pid: UInt32, status: ProcessStatus, io: TaskIO = TaskIO(), exit: ExitStatus? = nil,
    bundle: String = ""
  ) {
    self.containerID = containerID
    self.execID = execID
    self.pid = pid
    self.status = status
    self.io = io
    self.exit = exit
    self.bundle = bundle
  }
}

/// How a process ended: its exit code, or 128 + the signal that killed it.
public struct ExitStatus: Hashable, Sendable {
  public var pid: UInt32
  public var code: UInt32
  public var exitedAt: Timestamp
  public init(pid: UInt32, code: UInt32, exitedAt: Timestamp) {
    self.pid = pid
    self.code = code
    self.exitedAt = exitedAt
  }
}
