import CLinux
import SystemKit

/// One container: its first process, its cgroups and its directory `<root>/<id>` with `state.json` and a private copy of
/// the configuration, so that later changes to the bundle change nothing.
///
/// Not for several threads: creating and executing clone the calling process, which must have one thread only. Every call
/// is synchronous; none needs the object that created the container: `load` serves as well, in any process.
public final class Container {
  let directory: StateDirectory
  var record: ContainerRecord
  /// The parsed private copy of the configuration.
  public let spec: RuntimeSpec

  init(directory: StateDirectory, record: ContainerRecord, spec: RuntimeSpec) {
    self.directory = directory
    self.record = record
    self.spec = spec
  }

  /// The pid of the container's first process, in the caller's pid namespace. After `create` it is a direct child of the
  /// caller, who reaps it with `waitpid`.
  public var initPID: Int32 { record.process.pid }
  public var id: String { record.id }
  public var bundle: String { record.bundle }
  /// When it was created: RFC 3339, UTC.
  public var created: String { record.created }
  public var rootfs: String { record.rootfs }
  /// What was worth a warning and did not stop anything: capabilities we cannot grant, limits we cannot apply.
  public internal(set) var warnings: [String] = []
  /// The master side of the container's terminal after `create` when `process.terminal` is set: open, to be closed by
  /// whoever takes it. Nil without a terminal and after `load`.
  public internal(set) var ttyMaster: Int32?

  /// Reads `config.json` of a bundle.
  public static func readSpec(bundle: String) throws(RuntimeError) -> RuntimeSpec {
    let path = bundle + "/config.json"
    let bytes: [UInt8]
    do { bytes = try Files.read(path, limit: JSONParser.maximumSize) } catch {
      throw RuntimeError(error.errno == ENOENT ? .notFound : .system, "read the configuration: \(error)")
    }
    return try RuntimeSpec(json: bytes)
  }

  /// A container made earlier, by this or another process. Throws `.notFound`.
  public static func load(root: String, id: String) throws(RuntimeError) -> Container {
    let directory = try StateDirectory(root: root, id: id)
    guard directory.exists else { throw RuntimeError(.notFound, "container does not exist: \(id)") }
    let state: [UInt8]
    do { state = try Files.read(directory.statePath, limit: JSONParser.maximumSize) } catch {
      throw RuntimeError(error.errno == ENOENT ? .notFound : .system, "container \(id) has no readable state: \(error)")
    }
    let config = try during("read the configuration of container \(id)") { () throws(SystemError) in
      try Files.read(directory.configPath, limit: JSONParser.maximumSize)
    }
    return Container(directory: directory, record: try ContainerRecord(parsing: state), spec: try RuntimeSpec(json: config))
  }

  /// Removes what a creation that was killed at its very beginning has left: a directory that says nothing yet, and with which
  /// nothing else was made. `load` does not find such a container.
  public static func discardUnfinished(root: String, id: String) throws(RuntimeError) {
    let directory = try StateDirectory(root: root, id: id)
    if directory.exists, !Files.exists(directory.statePath) { try directory.remove() }
  }

  /// Every container below a state directory, sorted by id; damaged ones are left out.
  public static func list(root: String) throws(RuntimeError) -> [Container] {
    guard Files.exists(root) else { return [] }
    let names = try during("list containers") { () throws(SystemError) in try Files.names(in: root) }
    return names.sorted().compactMap { try? load(root: root, id: $0) }
  }

  /// What the container is doing now: from its pid, the start time of that pid, its start gate and its freezer.
  public var state: ContainerState {
    // A creation whose creator was killed comes to nothing: there is no process, or it is ending.
    guard record.process.pid > 0 else { return record.creator?.isAlive ?? false ? .creating : .stopped }
    guard record.process.isAlive else { return .stopped }
    if Files.exists(directory.gatePath) { return .created }
    return record.cgroup.isFrozen ? .paused : .running
  }

  /// The directory of the container in each cgroup hierarchy, by controller ("memory", "pids" …, "" for the unified one):
  /// for watching out-of-memory events.
  public var cgroupPaths: [String: String] {
    var paths: [String: String] = [:]
    for directory in record.cgroup.directories {
      if directory.unified { paths[""] = directory.path }
      for controller in directory.controllers { paths[controller] = directory.path }
    }
    return paths
  }

  /// The state as the specification's JSON object.
  public func stateJSON() -> [UInt8] { stateJSON(status: state) }

  func stateJSON(status: ContainerState) -> [UInt8] {
    var members: [(String, JSONValue?)] = [
      ("ociVersion", .string(spec.ociVersion)), ("id", .string(record.id)), ("status", .string(status.rawValue)),
      ("pid", .integer(status == .stopped ? 0 : Int64(record.process.pid))), ("bundle", .string(record.bundle)),
      ("rootfs", .string(record.rootfs)), ("created", .string(record.created)),
    ]
    if !spec.annotations.isEmpty {
      members.append(("annotations", .object(spec.annotations.map { JSONMember(name: $0.0, value: .string($0.1)) })))
    }
    return JSONValue.record(members).serialized()
  }

  /// Pids in the container's cgroups, in the caller's pid namespace, ascending.
  public func pids() throws(RuntimeError) -> [Int32] { record.cgroup.pids() }

  public func stats() throws(RuntimeError) -> CgroupStats { record.cgroup.read() }

  /// Applies `linux.resources` (JSON of that object) to the running container.
  public func update(resources json: [UInt8]) throws(RuntimeError) {
    let resources = try ResourcesSpec(json: json)
    guard state != .stopped else { throw RuntimeError(.wrongState, "cannot update container \(id): it has stopped") }
    try record.cgroup.apply(resources)
  }

  public func pause() throws(RuntimeError) {
    let now = state
    guard now == .running || now == .created else { throw RuntimeError(.wrongState, "cannot pause container \(id): it is \(now.rawValue)") }
    try record.cgroup.setFrozen(true)
  }

  public func resume() throws(RuntimeError) {
    guard record.cgroup.isFrozen, state != .stopped else {
      throw RuntimeError(.wrongState, "cannot resume container \(id): it is not paused")
    }
    try record.cgroup.setFrozen(false)
  }
}
