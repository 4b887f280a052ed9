/// # Runtime
///
/// A runtime makes *tasks*: the running side of a container. `create` makes the whole environment (namespaces, cgroup, root file
/// system, mounts) and runs nothing of the user's; `start` runs the user's program. Between the two, anybody may enter the
/// network namespace of `pid` and add interfaces.
///
///     let task = try await runtime.create(TaskCreation(namespace: "default", id: "web", spec: spec, rootfs: mounts))
///     let pid = try await task.state(exec: nil).pid           // the held process: /proc/PID/ns/net is there
///     … a network plugin adds an interface …
///     _ = try await task.start(exec: nil)                     // the program runs, once
///     let exit = try await task.wait(exec: nil)
///     _ = try await task.delete(exec: nil)
///
/// States: *created* → *running* ⇄ *paused* → *stopped* → deleted; *created* may also stop (a kill, or the end of its process). What a
/// state does not allow is `failedPrecondition`, and changes nothing. docs/container-lifecycle.md has the table.
///
/// Laws.
/// 1. `create` runs nothing of the user's, no hook inside the container either; `start` runs the program once.
/// 2. A task's life is not the daemon's life: after a restart, `tasks` lists what still runs, `wait` delivers the status of what
///    has exited meanwhile, standard streams have lost nothing.
/// 3. A creation that fails leaves nothing: no process, mount, cgroup or file. Every mount of `rootfs` is performed, or none.
/// 4. Events of a task come in the order create, start, exit, delete; of an exec: exec-added, exec-started, exit. An exit is told once.
/// 5. When the first process ends every other process of the container is ended, and told as ended before it.
/// 6. A runtime knows no image, no snapshot and no content: it gets mounts and a spec.
///
/// Every error is a `ContainerdError`. All methods may be called concurrently.
public protocol Runtime: Sendable {
  /// The name clients ask for, `io.containerd.ref.v2`.
  var name: String { get }

  /// `alreadyExists` if the container has a task; `invalidArgument` for a spec or options that cannot be used.
  func create(_ request: TaskCreation) async throws -> any ContainerTask

  /// `notFound` if the container has no task.
  func task(_ id: String, namespace: String) async throws -> any ContainerTask

  /// Every task of the namespace, those of an earlier daemon too, in no order.
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

  /// Adds a process, not started: from creation on. `alreadyExists` if the id is taken; `failedPrecondition` while the task is paused and
  /// after it has stopped; `invalidArgument` for an id or a process that cannot be used.
  func exec(_ request: ExecCreation) async throws

  /// `notFound` if the process has ended ("process already finished").
  func kill(exec: String?, signal: UInt32, all: Bool) async throws

  /// Waits for the end; at once if it has ended. Any number of waiters get the same answer.
  func wait(exec: String?) async throws -> ExitStatus

  /// Frees everything of a process that has ended; of the init also the task. `failedPrecondition` while it runs.
  func delete(exec: String?) async throws -> ExitStatus

  /// Every process in the container's cgroup, in the host's pid namespace; those of execs and what they started too.
  func pids() async throws -> [UInt32]
  /// Holds every process still, by the freezer. `failedPrecondition` unless it runs.
  func pause() async throws
  /// `failedPrecondition` unless it is paused.
  func resume() async throws
  /// The terminal's size in characters; before the start of an exec it is kept for the start. `failedPrecondition` without a terminal.
  func resize(exec: String?, width: UInt32, height: UInt32) async throws
  /// The process sees the end of its standard input.
  func closeStdin(exec: String?) async throws
  /// New limits, `LinuxResources` as JSON: what is named changes, the rest stays. `invalidArgument` for limits that the kernel refuses.
  func update(_ resources: TypedValue, annotations: Labels) async throws
  /// What the cgroup counts: `io.containerd.cgroups.v1.Metrics` or `…v2.Metrics`, serialised.
  func stats() async throws -> TypedValue
  /// `notImplemented` where processes cannot be written down.
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
