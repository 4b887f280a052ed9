import ContainerdAPI
import Protocols
import SwiftProtobuf

/// The task service of one shim, method by method, for one container. Errors are what the shim said.
struct ShimTaskService: Sendable {
  let client: TTRPCClient
  /// `containerd.task.v2.Task` or `…v3…`: the messages are the same.
  let service: String
  let namespace: String
  let id: String

  func create(_ request: TaskCreation, bundle: String) async throws -> UInt32 {
    var wire = Containerd_Task_V2_CreateTaskRequest()
    wire.id = id
    wire.bundle = bundle
    wire.rootfs = request.rootfs.map(Containerd_Types_Mount.init)
    wire.terminal = request.io.terminal
    wire.stdin = request.io.stdin
    wire.stdout = request.io.stdout
    wire.stderr = request.io.stderr
    if let options = request.options { wire.options = options.any }
    return try await call("Create", wire, Containerd_Task_V2_CreateTaskResponse.self).pid
  }

  /// The pid of the shim itself.
  func connect(timeout: Duration? = nil) async throws -> UInt32 {
    var wire = Containerd_Task_V2_ConnectRequest()
    wire.id = id
    return try await call("Connect", wire, Containerd_Task_V2_ConnectResponse.self, timeout: timeout).shimPid
  }

  func state(exec: String?, timeout: Duration) async throws -> ProcessState {
    var wire = Containerd_Task_V2_StateRequest()
    wire.id = id
    wire.execID = exec ?? ""
    let answer = try await call("State", wire, Containerd_Task_V2_StateResponse.self, timeout: timeout)
    let status = ProcessStatus(answer.status)
    let exit = ExitStatus(pid: answer.pid, code: answer.exitStatus, exitedAt: Timestamp(answer.exitedAt))
    return ProcessState(
      containerID: id, execID: exec, pid: answer.pid, status: status,
      io: TaskIO(stdin: answer.stdin, stdout: answer.stdout, stderr: answer.stderr, terminal: answer.terminal),
      exit: status == .stopped ? exit : nil, bundle: answer.bundle)
  }

  func start(exec: String?) async throws -> UInt32 {
    var wire = Containerd_Task_V2_StartRequest()
    wire.id = id
    wire.execID = exec ?? ""
    return try await call("Start", wire, Containerd_Task_V2_StartResponse.self).pid
  }

  func exec(_ request: ExecCreation) async throws {
    var wire = Containerd_Task_V2_ExecProcessRequest()
    wire.id = id
    wire.execID = request.id
    wire.terminal = request.io.terminal
    wire.stdin = request.io.stdin
    wire.stdout = request.io.stdout
    wire.stderr = request.io.stderr
    wire.spec = request.process.any
    try await call("Exec", wire)
  }

  func kill(exec: String?, signal: UInt32, all: Bool) async throws {
    var wire = Containerd_Task_V2_KillRequest()
    wire.id = id
    wire.execID = exec ?? ""
    wire.signal = signal
    wire.all = all
    try await call("Kill", wire)
  }

  /// Without the pid, which the answer does not carry.
  func wait(exec: String?) async throws -> (code: UInt32, exitedAt: Timestamp) {
    var wire = Containerd_Task_V2_WaitRequest()
    wire.id = id
    wire.execID = exec ?? ""
    let answer = try await call("Wait", wire, Containerd_Task_V2_WaitResponse.self)
    return (answer.exitStatus, Timestamp(answer.exitedAt))
  }

  func delete(exec: String?, timeout: Duration? = nil) async throws -> ExitStatus {
    var wire = Containerd_Task_V2_DeleteRequest()
    wire.id = id
    wire.execID = exec ?? ""
    let answer = try await call("Delete", wire, Containerd_Task_V2_DeleteResponse.self, timeout: timeout)
    return ExitStatus(pid: answer.pid, code: answer.exitStatus, exitedAt: Timestamp(answer.exitedAt))
  }

  /// The shim ends unless it has other containers. It may end before it has answered.
  func shutdown(timeout: Duration) async throws {
    var wire = Containerd_Task_V2_ShutdownRequest()
    wire.id = id
    do {
      try await call("Shutdown", wire, timeout: timeout)
    } catch let error as ContainerdError where error.code == .unavailable {
      return
    }
  }

  func pids() async throws -> [UInt32] {
    var wire = Containerd_Task_V2_PidsRequest()
    wire.id = id
    return try await call("Pids", wire, Containerd_Task_V2_PidsResponse.self).processes.map(\.pid)
  }

  func pause() async throws {
    var wire = Containerd_Task_V2_PauseRequest()
    wire.id = id
    try await call("Pause", wire)
  }

  func resume() async throws {
    var wire = Containerd_Task_V2_ResumeRequest()
    wire.id = id
    try await call("Resume", wire)
  }

  func resize(exec: String?, width: UInt32, height: UInt32) async throws {
    var wire = Containerd_Task_V2_ResizePtyRequest()
    wire.id = id
    wire.execID = exec ?? ""
    wire.width = width
    wire.height = height
    try await call("ResizePty", wire)
  }

  func closeStdin(exec: String?) async throws {
    var wire = Containerd_Task_V2_CloseIORequest()
    wire.id = id
    wire.execID = exec ?? ""
    wire.stdin = true
    try await call("CloseIO", wire)
  }

  func update(_ resources: TypedValue, annotations: Labels) async throws {
    var wire = Containerd_Task_V2_UpdateTaskRequest()
    wire.id = id
    wire.resources = resources.any
    wire.annotations = annotations
    try await call("Update", wire)
  }

  func stats() async throws -> TypedValue {
    var wire = Containerd_Task_V2_StatsRequest()
    wire.id = id
    return TypedValue(bare: try await call("Stats", wire, Containerd_Task_V2_StatsResponse.self).stats)
  }

  func checkpoint(path: String, options: TypedValue?) async throws {
    var wire = Containerd_Task_V2_CheckpointTaskRequest()
    wire.id = id
    wire.path = path
    if let options { wire.options = options.any }
    try await call("Checkpoint", wire)
  }

  private func call(_ method: String, _ request: any SwiftProtobuf.Message, timeout: Duration? = nil) async throws {
    _ = try await call(method, request, Google_Protobuf_Empty.self, timeout: timeout)
  }

  private func call<Answer: SwiftProtobuf.Message>(
    _ method: String, _ request: any SwiftProtobuf.Message, _ answer: Answer.Type, timeout: Duration? = nil
  ) async throws -> Answer {
    let payload: [UInt8] = try request.serializedBytes()
    let bytes = try await client.call(
      service: service, method: method, payload: payload, timeout: timeout, metadata: ["containerd-namespace-ttrpc": namespace])
    do {
      return try Answer(serializedBytes: bytes)
    } catch {
      throw ContainerdError.internalError("shim's answer to \(method) cannot be read: \(error)")
    }
  }
}
