import CLinux
import LinuxRuntime
import ShimWire
import SystemKit

/// Looking at processes and acting on running ones.
extension TaskService {
  /// `containerd.v1.types.Status`.
  private enum ProcessStatus: UInt32 { case created = 1, running, stopped, paused }

  func state(_ request: ProcessRequest) throws(ServiceError) -> StateResponse {
    let owner = try container(request.id)
    let process = try owner.process(request.execID)
    let status: ProcessStatus
    if process.exit != nil {
      status = .stopped
    } else if process.phase == .created {
      status = .created
    } else if process === owner.first, owner.container.state == .paused {
      status = .paused
    } else {
      status = .running
    }
    return StateResponse(
      id: process === owner.first ? owner.id : process.execID, bundle: owner.bundle, pid: UInt32(process.pid), status: status.rawValue,
      stdin: process.paths.stdin, stdout: process.paths.stdout, stderr: process.paths.stderr, terminal: process.paths.terminal,
      exitStatus: process.exit?.status ?? 0, exitedAt: process.exit?.exitedAt ?? .never, execID: process.execID)
  }

  func kill(_ request: KillRequest) throws(ServiceError) {
    let owner = try container(request.id)
    let process = try owner.process(request.execID)
    guard request.signal <= 64 else { throw ServiceError(.invalidArgument, "\(request.signal) is not a signal") }
    if process.exit != nil { throw ServiceError(.notFound, "\(name(owner, process)) has already finished") }
    let signal = Int32(request.signal)
    if process === owner.first {
      return try runtime { () throws(RuntimeError) in
        try owner.container.kill(signal: signal, all: request.all)
        try owner.thawToDie(signal)
      }
    }
    guard process.phase == .running else { throw ServiceError(.failedPrecondition, "\(name(owner, process)) was not started yet") }
    // Our child, not reaped yet: the pid cannot be anybody else's.
    if CLinux.kill(process.pid, signal) != 0 {
      throw ServiceError(.unknown, SystemError.last("kill", name(owner, process)).description)
    }
    try runtime { () throws(RuntimeError) in try owner.thawToDie(signal) }
  }

  func pids(_ request: ProcessRequest) throws(ServiceError) -> PidsResponse {
    let owner = try container(request.id)
    let pids = try runtime { () throws(RuntimeError) in try owner.container.pids() }
    return PidsResponse(
      processes: pids.map { pid in
        let exec = owner.execs.values.first { $0.phase == .running && $0.pid == pid }
        return ProcessInfo(
          pid: UInt32(pid),
          info: exec.map { WireAny(typeURL: "containerd.runc.v1.ProcessDetails", value: ProcessDetails(execID: $0.execID).encoded) })
      })
  }

  func pause(_ request: ProcessRequest) throws(ServiceError) {
    let owner = try container(request.id)
    // The runtime would freeze a created container too; a task that does not run has nothing to hold still.
    guard owner.first.phase == .running, owner.container.state != .paused else {
      throw ServiceError(.failedPrecondition, "container \(owner.id) is not running and cannot be paused")
    }
    try runtime { () throws(RuntimeError) in try owner.container.pause() }
    publisher.publish("/tasks/paused", "TaskPaused", TaskReference(containerID: owner.id))
  }

  func resume(_ request: ProcessRequest) throws(ServiceError) {
    let owner = try container(request.id)
    try runtime { () throws(RuntimeError) in try owner.container.resume() }
    publisher.publish("/tasks/resumed", "TaskResumed", TaskReference(containerID: owner.id))
  }

  func resizePty(_ request: ResizePtyRequest) throws(ServiceError) {
    let owner = try container(request.id)
    let process = try owner.process(request.execID)
    guard process.paths.terminal else { throw ServiceError(.failedPrecondition, "\(name(owner, process)) has no terminal") }
    process.size = (request.width, request.height)
    // After the end the size matters to nobody.
    if process.exit == nil { try process.io?.resize(width: request.width, height: request.height) }
  }

  func closeIO(_ request: CloseIORequest) throws(ServiceError) {
    let process = try container(request.id).process(request.execID)
    guard request.stdin else { return }
    process.inputClosed = true
    process.io?.closeInput()
  }

  func update(_ request: UpdateTaskRequest) throws(ServiceError) {
    let owner = try container(request.id)
    guard let resources = request.resources else { throw ServiceError(.invalidArgument, "container \(owner.id): no resources were given") }
    try runtime { () throws(RuntimeError) in try owner.container.update(resources: resources.value) }
  }

  func stats(_ request: ProcessRequest) throws(ServiceError) -> StatsResponse {
    let owner = try container(request.id)
    return StatsResponse(stats: Metrics.encode(try runtime { () throws(RuntimeError) in try owner.container.stats() }))
  }

  func connect(_ request: ProcessRequest) -> ConnectResponse {
    ConnectResponse(shimPID: UInt32(getpid()), taskPID: containers[request.id].map { UInt32($0.first.pid) } ?? 0, version: "")
  }

  func shutdown() {
    if containers.isEmpty { onShutdown?() }
  }
}
