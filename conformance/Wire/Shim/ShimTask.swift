import ConformanceSuites
import ContainerdAPI
import Protocols
import SwiftProtobuf

/// A container by its shim's task service: one method per call, with the messages of `containerd.task.v2`.
struct ShimTask: Sendable {
  static let service = "containerd.task.v2.Task"
  typealias Status = Containerd_V1_Types_Status

  /// How a process ended, by whatever message told it.
  struct Exit: Hashable, Sendable, CustomStringConvertible {
    var code: UInt32
    var at: ExitTime
    var description: String { "code \(code) at \(at)" }
  }

  let subject: ShimSubject
  let id: String
  let bundle: String
  let socket: String
  var calls: any ShimCalls
  let program: ShimSubject.Program

  private func call<Answer: Message>(
    _ method: String, _ request: some Message, _: Answer.Type = SwiftProtobuf.Google_Protobuf_Empty.self
  ) async throws -> Answer {
    let payload: [UInt8] = try request.serializedBytes()
    subject.scene.note("\(method) of \(id): \(request.textFormatString().split(separator: "\n").joined(separator: " "))", "")
    let calls = calls
    let answer = try await inTime("\(method) of \(id)") { try await calls.call(Self.service, method, payload) }
    return try Answer(serializedBytes: answer)
  }

  func create() async throws -> UInt32 {
    var mount = Containerd_Types_Mount()
    (mount.type, mount.source, mount.options) = ("bind", subject.scene.rootfs, ["rbind", "rw"])
    let request = Containerd_Task_V2_CreateTaskRequest.with {
      ($0.id, $0.bundle, $0.rootfs, $0.terminal) = (id, bundle, [mount], program.terminal)
      ($0.stdin, $0.stdout, $0.stderr) = (program.io.stdin, program.io.stdout, program.io.stderr)
    }
    let pid = try await call("Create", request, Containerd_Task_V2_CreateTaskResponse.self).pid
    subject.scene.remember(process: pid)
    return pid
  }
  @discardableResult func start(_ exec: String = "") async throws -> UInt32 {
    let pid = try await call("Start", Containerd_Task_V2_StartRequest.with { ($0.id, $0.execID) = (id, exec) }, Containerd_Task_V2_StartResponse.self).pid
    subject.scene.remember(process: pid)
    return pid
  }
  func exec(_ exec: String, _ program: ShimSubject.Program) async throws {
    let request = Containerd_Task_V2_ExecProcessRequest.with {
      ($0.id, $0.execID, $0.terminal) = (id, exec, program.terminal)
      ($0.stdin, $0.stdout, $0.stderr) = (program.io.stdin, program.io.stdout, program.io.stderr)
      $0.spec.typeURL = "types.containerd.io/opencontainers/runtime-spec/1/Process"
      $0.spec.value = .init(program.process.utf8)
    }
    _ = try await call("Exec", request)
  }
  func state(_ exec: String = "") async throws -> Containerd_Task_V2_StateResponse {
    try await call("State", Containerd_Task_V2_StateRequest.with { ($0.id, $0.execID) = (id, exec) }, Containerd_Task_V2_StateResponse.self)
  }
  func kill(_ exec: String = "", _ signal: UInt32 = 9, all: Bool = false) async throws {
    _ = try await call("Kill", Containerd_Task_V2_KillRequest.with { ($0.id, $0.execID, $0.signal, $0.all) = (id, exec, signal, all) })
  }
  func wait(_ exec: String = "") async throws -> Exit {
    let answer = try await call("Wait", Containerd_Task_V2_WaitRequest.with { ($0.id, $0.execID) = (id, exec) }, Containerd_Task_V2_WaitResponse.self)
    return Exit(code: answer.exitStatus, at: ExitTime(answer.exitedAt))
  }
  @discardableResult func delete(_ exec: String = "") async throws -> Exit {
    let answer = try await call("Delete", Containerd_Task_V2_DeleteRequest.with { ($0.id, $0.execID) = (id, exec) }, Containerd_Task_V2_DeleteResponse.self)
    return Exit(code: answer.exitStatus, at: ExitTime(answer.exitedAt))
  }
  func pids() async throws -> [UInt32] {
    try await call("Pids", Containerd_Task_V2_PidsRequest.with { $0.id = id }, Containerd_Task_V2_PidsResponse.self).processes.map(\.pid)
  }
  func stats() async throws -> Google_Protobuf_Any {
    try await call("Stats", Containerd_Task_V2_StatsRequest.with { $0.id = id }, Containerd_Task_V2_StatsResponse.self).stats
  }
  func pause() async throws { _ = try await call("Pause", Containerd_Task_V2_PauseRequest.with { $0.id = id }) }
  func resume() async throws { _ = try await call("Resume", Containerd_Task_V2_ResumeRequest.with { $0.id = id }) }
  func closeStdin(_ exec: String = "") async throws {
    _ = try await call("CloseIO", Containerd_Task_V2_CloseIORequest.with { ($0.id, $0.execID, $0.stdin) = (id, exec, true) })
  }
  func resize(_ exec: String = "", width: UInt32, height: UInt32) async throws {
    _ = try await call("ResizePty", Containerd_Task_V2_ResizePtyRequest.with { ($0.id, $0.execID, $0.width, $0.height) = (id, exec, width, height) })
  }
  /// The pids of the shim and of the container's first process.
  func connection() async throws -> (shim: UInt32, task: UInt32) {
    let answer = try await call("Connect", Containerd_Task_V2_ConnectRequest.with { $0.id = id }, Containerd_Task_V2_ConnectResponse.self)
    return (answer.shimPid, answer.taskPid)
  }
  func shutdown(now: Bool = false) async throws {
    // A shim may be gone before its answer is.
    do { _ = try await call("Shutdown", Containerd_Task_V2_ShutdownRequest.with { ($0.id, $0.now) = (id, now) }) } catch let error as ContainerdError
      where error.code == .unavailable
    {}
  }

  /// Kills what runs, waits, deletes, and ends the shim.
  func end() async throws {
    do { try await kill(all: true) } catch let error as ContainerdError where error.code == .notFound {}
    _ = try await wait()
    try await finish()
  }

  /// Deletes what has ended, and ends the shim.
  @discardableResult func finish() async throws -> Exit {
    let exit = try await delete()
    try await leave()
    return exit
  }

  /// Ends a shim that has no container any more.
  func leave() async throws {
    try await shutdown()
    let scene = subject.scene
    try await eventually("the shim's end after Shutdown") { try scene.shims().isEmpty ? true : nil }
    scene.forget(id)
  }
}
