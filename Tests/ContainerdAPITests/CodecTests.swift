import ContainerdAPI
import ShimWire
import SwiftProtobuf
import Testing

/// The shim's own small codec, held against SwiftProtobuf on the same messages: each reads what the other writes.
@Suite struct CodecTests {
  func agree<Ours: WireMessage, Theirs: Message>(_ ours: Ours, _ theirs: Theirs.Type) throws {
    let read = try Theirs(serializedBytes: ours.encoded)
    #expect(read.unknownFields.data.isEmpty, "SwiftProtobuf does not know a field of \(Ours.self)")
    let back: [UInt8] = try read.serializedBytes()
    #expect(try Ours(wire: back) == ours)
    #expect(back.count == ours.encoded.count)
  }

  let time = ShimWire.Timestamp(seconds: 1_795_444_972, nanos: 123_456_789)
  let never = ShimWire.Timestamp(seconds: -62_135_596_800)
  let any = WireAny(typeURL: "containerd.runc.v1.Options", value: [1, 2, 0, 255])

  @Test func requests() throws {
    try agree(
      CreateTaskRequest(
        id: "c", bundle: "/b", rootfs: [Mount(type: "overlay", source: "overlay", target: "", options: ["ro", "lowerdir=a:b"])], terminal: true, stdin: "i",
        stdout: "o", stderr: "e", checkpoint: "cp", parentCheckpoint: "pc", options: any), Containerd_Task_V2_CreateTaskRequest.self)
    try agree(ProcessRequest(id: "c", execID: "e"), Containerd_Task_V2_StateRequest.self)
    try agree(
      ExecProcessRequest(id: "c", execID: "e", terminal: true, stdin: "i", stdout: "o", stderr: "x", spec: any), Containerd_Task_V2_ExecProcessRequest.self)
    try agree(ResizePtyRequest(id: "c", execID: "e", width: 80, height: .max), Containerd_Task_V2_ResizePtyRequest.self)
    try agree(KillRequest(id: "c", execID: "e", signal: 9, all: true), Containerd_Task_V2_KillRequest.self)
    try agree(CloseIORequest(id: "c", execID: "e", stdin: true), Containerd_Task_V2_CloseIORequest.self)
    try agree(UpdateTaskRequest(id: "c", resources: any), Containerd_Task_V2_UpdateTaskRequest.self)
    try agree(ShutdownRequest(id: "c", now: true), Containerd_Task_V2_ShutdownRequest.self)
  }

  @Test func responses() throws {
    try agree(
      StateResponse(
        id: "c", bundle: "/b", pid: 7, status: 2, stdin: "i", stdout: "o", stderr: "e", terminal: true, exitStatus: 137, exitedAt: never, execID: "x"),
      Containerd_Task_V2_StateResponse.self)
    try agree(DeleteResponse(pid: 7, exitStatus: 1, exitedAt: time), Containerd_Task_V2_DeleteResponse.self)
    try agree(PidsResponse(processes: [ProcessInfo(pid: 1), ProcessInfo(pid: 2, info: any)]), Containerd_Task_V2_PidsResponse.self)
    try agree(WaitResponse(exitStatus: 255, exitedAt: time), Containerd_Task_V2_WaitResponse.self)
    try agree(StatsResponse(stats: any), Containerd_Task_V2_StatsResponse.self)
    try agree(ConnectResponse(shimPID: 1, taskPID: 2, version: "v"), Containerd_Task_V2_ConnectResponse.self)
  }

  @Test func events() throws {
    try agree(
      TaskCreate(
        containerID: "c", bundle: "/b", rootfs: [Mount(type: "bind")], io: TaskIO(stdin: "i", stdout: "o", stderr: "e", terminal: true), checkpoint: "k", pid: 3
      ),
      Containerd_Events_TaskCreate.self)
    try agree(TaskStart(containerID: "c", pid: 3), Containerd_Events_TaskStart.self)
    try agree(TaskExit(containerID: "c", id: "e", pid: 3, exitStatus: 4, exitedAt: time), Containerd_Events_TaskExit.self)
    try agree(TaskDelete(containerID: "c", pid: 3, exitStatus: 4, exitedAt: time, id: "e"), Containerd_Events_TaskDelete.self)
    try agree(TaskExecAdded(containerID: "c", execID: "e"), Containerd_Events_TaskExecAdded.self)
    try agree(TaskExecStarted(containerID: "c", execID: "e", pid: 9), Containerd_Events_TaskExecStarted.self)
  }

  @Test func ttrpcEnvelopes() throws {
    try agree(
      TTRPCRequest(service: "s", method: "m", payload: [0, 1, 2], timeoutNano: 5_000_000_000, metadata: [KeyValue(key: "k", value: "v")]), Ttrpc_Request.self)
    try agree(TTRPCResponse(status: Status(code: 5, message: "not found"), payload: [9]), Ttrpc_Response.self)
  }

  /// Whatever arrives, the answer is a value or an error: never a trap.
  @Test func randomBytesNeverTrap() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let bytes = (0..<Int.random(in: 0...40, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
      // The decoder's throws are typed: what is no message is a `WireError`, by the compiler's word.
      guard let ours = try? CreateTaskRequest(wire: bytes) else { continue }
      #expect((try? CreateTaskRequest(wire: ours.encoded)) == ours)
    }
  }
}
