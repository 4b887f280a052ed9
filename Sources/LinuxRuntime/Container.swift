import SystemKit

/// One container: its first process, its cgroups and its directory `<root>/<id>` with `state.json` and a private copy of
/// the configuration, so that later changes to the bundle change nothing.
///
/// Not for several threads: creating and executing clone the calling process, which must have one thread only. Every call
/// is synchronous; none needs the object that created the container: `load` serves as well, in any process.
public final class Container {
  let options: CreateOptions
  /// The parsed private copy of the configuration.
  public let spec: RuntimeSpec

  init(options: CreateOptions, spec: RuntimeSpec) {
    self.options = options
    self.spec = spec
  }

  /// The pid of the container's first process, in the caller's pid namespace. After `create` it is a direct child of the
  /// caller, who reaps it with `waitpid`.
  public var initPID: Int32 { fatalError("being written") }
  public var id: String { options.id }
  public var bundle: String { options.bundle }
  /// What was worth a warning and did not stop anything: capabilities we cannot grant, limits we cannot apply.
  public private(set) var warnings: [String] = []
  /// The master side of the container's terminal after `create` when `process.terminal` is set: open, to be closed by
  /// whoever takes it. Nil without a terminal and after `load`.
  public private(set) var ttyMaster: Int32?

  /// Reads `config.json` of a bundle.
  public static func readSpec(bundle: String) throws(RuntimeError) -> RuntimeSpec { fatalError("being written") }

  /// Makes the whole environment: namespaces, cgroups, mounts, the first process held before its program. Runs the hooks
  /// prestart, createRuntime and createContainer, and nothing else of the user's.
  ///
  /// Returns when the process waits for `start`. On an error everything made is removed again.
  public static func create(_ options: CreateOptions, spec: RuntimeSpec) throws(RuntimeError) -> Container {
    fatalError("being written")
  }

  /// A container made earlier, by this or another process. Throws `.notFound`.
  public static func load(root: String, id: String) throws(RuntimeError) -> Container { fatalError("being written") }

  /// Every container below a state directory, sorted by id; damaged ones are left out.
  public static func list(root: String) throws(RuntimeError) -> [Container] { fatalError("being written") }

  /// What the container is doing now: from its pid, the start time of that pid, its start gate and its freezer.
  public var state: ContainerState { fatalError("being written") }

  /// Lets the held process run its program; works from any process. Runs startContainer (inside) and poststart.
  ///
  /// Throws `.notFound` or `.system` with the cause when the program cannot be executed (no such file, permission), and
  /// `.wrongState` unless the container is created.
  public func start() throws(RuntimeError) { fatalError("being written") }

  /// Sends a signal to the first process, or to every process of the container's cgroup. Never to a process that only has
  /// the same pid. Throws `.wrongState` when the container has stopped (not with `all`).
  public func kill(signal: Int32, all: Bool = false) throws(RuntimeError) { fatalError("being written") }

  /// Removes cgroups and state and runs poststop. A created container is killed first; a running one only with `force`,
  /// otherwise `.wrongState`.
  public func delete(force: Bool = false) throws(RuntimeError) { fatalError("being written") }

  /// Starts a further process in all namespaces and cgroups of the container: a direct child of the caller, running its
  /// program when this returns. Throws when the program cannot be executed.
  public func exec(_ process: ProcessSpec, _ options: ExecOptions) throws(RuntimeError) -> ExecutedProcess {
    fatalError("being written")
  }

  public func pause() throws(RuntimeError) { fatalError("being written") }
  public func resume() throws(RuntimeError) { fatalError("being written") }
  /// Pids in the container's cgroups, in the caller's pid namespace, ascending.
  public func pids() throws(RuntimeError) -> [Int32] { fatalError("being written") }
  public func stats() throws(RuntimeError) -> CgroupStats { fatalError("being written") }
  /// Applies `linux.resources` (JSON of that object) to the running container.
  public func update(resources json: [UInt8]) throws(RuntimeError) { fatalError("being written") }
  /// The directory of the container in each cgroup hierarchy, by controller ("memory", "pids" …, "" for the unified one):
  /// for watching out-of-memory events.
  public var cgroupPaths: [String: String] { fatalError("being written") }
  /// The state as the specification's JSON object.
  public func stateJSON() -> [UInt8] { fatalError("being written") }
}
