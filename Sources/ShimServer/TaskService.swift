import CLinux
import LinuxRuntime
import ShimWire

/// The containers of this shim and what may be done with them. Methods publish the event of what they did before they return.
final class TaskService {
  let loop: EventLoop
  let publisher: Publisher
  let namespace: String
  let log: ShimLog
  var containers: [String: ManagedContainer] = [:]
  /// Asked for, and possible: nothing is left to look after.
  var onShutdown: (() -> Void)?

  init(_ loop: EventLoop, publisher: Publisher, namespace: String, log: ShimLog) {
    self.log = log
    self.loop = loop
    self.publisher = publisher
    self.namespace = namespace
  }

  func container(_ id: String) throws(ServiceError) -> ManagedContainer {
    guard let found = containers[id] else { throw ServiceError(.notFound, "container \(id) does not exist in this shim") }
    return found
  }

  func create(_ request: CreateTaskRequest) throws(ServiceError) -> PidResponse {
    guard containers[request.id] == nil else { throw ServiceError(.alreadyExists, "container \(request.id) already exists") }
    guard request.checkpoint.isEmpty else { throw ServiceError(.unimplemented, "container \(request.id): restoring a checkpoint is not supported") }
    guard request.bundle.hasPrefix("/") else {
      throw ServiceError(.invalidArgument, "container \(request.id): bundle \"\(request.bundle)\" is not an absolute path")
    }
    let wanted = try LaunchInput.options(request.options) ?? RuntimeOptions()
    if wanted.systemdCgroup { throw ServiceError(.unimplemented, "container \(request.id): the systemd cgroup driver is not supported") }
    let spec = try runtime("create") { () throws(RuntimeError) in try Container.readSpec(bundle: request.bundle) }
    let wantsTerminal = spec.process?.terminal ?? false
    guard wantsTerminal == request.terminal else {
      throw ServiceError(.invalidArgument, "container \(request.id): terminal is \(request.terminal) in the request and \(wantsTerminal) in config.json")
    }
    let rootfs = request.bundle + "/rootfs"
    try Rootfs.mount(request.rootfs, on: rootfs)
    let paths = ProcessIO.Paths(stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal)
    let first = ManagedProcess(execID: "", paths: paths, spec: nil)
    let made: Container
    do throws(ServiceError) {
      let io = try ProcessIO(loop, paths, ProcessIO.Owner(id: request.id, namespace: namespace, uid: wanted.ioUID, gid: wanted.ioGID))
      first.io = io
      let root = ShimPaths.state(bundle: request.bundle, namespace: namespace, root: wanted.root)
      try StateRoot.write(root, bundle: request.bundle)
      var options = CreateOptions(id: request.id, bundle: request.bundle, root: root)
      options.stdio = io.stdio
      options.noPivot = wanted.noPivotRoot
      options.noNewKeyring = wanted.noNewKeyring
      made = try runtime("create") { () throws(RuntimeError) in try Container.create(options, spec: spec) }
      io.started(master: made.ttyMaster)
    } catch {
      first.io?.close()
      if !request.rootfs.isEmpty { Rootfs.unmount(rootfs) }
      throw error
    }
    first.pid = made.initPID
    made.warnings.forEach { log.warning("container \(request.id): \($0)") }
    let owner = ManagedContainer(id: request.id, bundle: request.bundle, container: made, first: first, options: wanted)
    owner.memory = OutOfMemoryWatch(loop, paths: made.cgroupPaths) { [publisher] in
      publisher.publish("/tasks/oom", "TaskOOM", TaskReference(containerID: request.id))
    }
    containers[request.id] = owner
    publisher.publish(
      "/tasks/create", "TaskCreate",
      TaskCreate(
        containerID: request.id, bundle: request.bundle, rootfs: request.rootfs,
        io: TaskIO(stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal),
        checkpoint: request.checkpoint, pid: UInt32(first.pid)))
    return PidResponse(pid: UInt32(first.pid))
  }

  func exec(_ request: ExecProcessRequest) throws(ServiceError) {
    let owner = try container(request.id)
    guard !request.execID.isEmpty else { throw ServiceError(.invalidArgument, "container \(request.id): an exec needs an id") }
    guard owner.execs[request.execID] == nil, request.execID != request.id else {
      throw ServiceError(.alreadyExists, "process \(request.execID) of container \(request.id) already exists")
    }
    guard owner.first.exit == nil else { throw ServiceError(.failedPrecondition, "container \(request.id) has stopped: nothing can be executed in it") }
    guard owner.container.state != .paused else { throw ServiceError(.failedPrecondition, "container \(request.id) is paused: nothing can be executed in it") }
    guard let json = request.spec else { throw ServiceError(.invalidArgument, "process \(request.execID) of container \(request.id): no spec was given") }
    var spec = try runtime { () throws(RuntimeError) in try ProcessSpec(json: json.value) }
    spec.terminal = request.terminal
    let paths = ProcessIO.Paths(stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal)
    owner.execs[request.execID] = ManagedProcess(execID: request.execID, paths: paths, spec: spec)
    publisher.publish("/tasks/exec-added", "TaskExecAdded", TaskExecAdded(containerID: request.id, execID: request.execID))
  }

  /// The end of the process, however early, is noticed later: exit follows start.
  func start(_ request: ProcessRequest) throws(ServiceError) -> PidResponse {
    let owner = try container(request.id)
    let process = try owner.process(request.execID)
    guard process.phase == .created else {
      throw ServiceError(.failedPrecondition, "\(name(owner, process)) was started before")
    }
    guard let spec = process.spec else {
      try runtime("start") { () throws(RuntimeError) in try owner.container.start() }
      process.phase = .running
      publisher.publish("/tasks/start", "TaskStart", TaskStart(containerID: owner.id, pid: UInt32(process.pid)))
      return PidResponse(pid: UInt32(process.pid))
    }
    do throws(ServiceError) {
      let io = try ProcessIO(
        loop, process.paths,
        ProcessIO.Owner(id: process.execID, namespace: namespace, uid: owner.options.ioUID, gid: owner.options.ioGID))
      process.io = io
      var options = ExecOptions()
      options.stdio = io.stdio
      let executed = try runtime("exec") { () throws(RuntimeError) in try owner.container.exec(spec, options) }
      process.pid = executed.pid
      io.started(master: executed.ttyMaster)
    } catch {
      process.io?.close()
      process.io = nil
      process.ended(ExitRecord(pid: 0, status: 255, exitedAt: Clock.now()))
      throw error
    }
    process.phase = .running
    if process.inputClosed { process.io?.closeInput() }
    if let size = process.size { try? process.io?.resize(width: size.width, height: size.height) }
    publisher.publish("/tasks/exec-started", "TaskExecStarted", TaskExecStarted(containerID: owner.id, execID: process.execID, pid: UInt32(process.pid)))
    return PidResponse(pid: UInt32(process.pid))
  }

  func delete(_ request: ProcessRequest) throws(ServiceError) -> DeleteResponse {
    let owner = try container(request.id)
    let process = try owner.process(request.execID)
    if process.phase == .running { throw ServiceError(.failedPrecondition, "\(name(owner, process)) is running and cannot be deleted") }
    guard process === owner.first else {
      process.io?.close()
      process.release()
      owner.execs[process.execID] = nil
      return answer(process)
    }
    guard !owner.hasRunningExecs || process.exit == nil else {
      throw ServiceError(.failedPrecondition, "container \(owner.id) has a running process and cannot be deleted")
    }
    // The removal of a cgroup looks like an event of it.
    owner.memory?.close()
    // Kills a container that was never started.
    try runtime { () throws(RuntimeError) in try owner.container.delete() }
    reap()
    process.io?.close()
    for exec in owner.execs.values {
      exec.io?.close()
      exec.release()
    }
    process.release()
    Rootfs.unmount(owner.rootfs)
    containers[owner.id] = nil
    let result = answer(process)
    publisher.publish(
      "/tasks/delete", "TaskDelete",
      TaskDelete(containerID: owner.id, pid: result.pid, exitStatus: result.exitStatus, exitedAt: result.exitedAt, id: owner.id))
    return result
  }

  private func answer(_ process: ManagedProcess) -> DeleteResponse {
    DeleteResponse(pid: UInt32(process.pid), exitStatus: process.exit?.status ?? 0, exitedAt: process.exit?.exitedAt ?? .never)
  }

  func name(_ owner: ManagedContainer, _ process: ManagedProcess) -> String {
    process === owner.first ? "container \(owner.id)" : "process \(process.execID) of container \(owner.id)"
  }
}
