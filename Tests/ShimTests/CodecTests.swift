import ShimWire
import Testing

@Suite struct CodecTests {
  /// The same bytes every run.
  struct Dice: RandomNumberGenerator {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    mutating func next() -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state
    }
  }

  static let time = Timestamp(seconds: -62_135_596_800, nanos: 999_999_999)
  static let mount = Mount(type: "overlay", source: "overlay", options: ["lowerdir=/a:/b", "", "ro"])
  static let create = CreateTaskRequest(
    id: "c", bundle: "/b", rootfs: [mount, Mount()], terminal: true, stdin: "i", stdout: "o", stderr: "é", checkpoint: "k",
    parentCheckpoint: "p", options: WireAny(typeURL: "t", value: [0, 255]))

  private func comesBack<Message: WireMessage>(_ message: Message) throws {
    #expect(try Message(wire: message.encoded) == message)
  }

  @Test func messagesComeBackAsTheyWere() throws {
    try comesBack(Self.create)
    try comesBack(ProcessRequest(id: "a", execID: "b"))
    try comesBack(ExecProcessRequest(id: "a", execID: "b", terminal: true, stdin: "i", stdout: "o", stderr: "e", spec: WireAny(typeURL: "t")))
    try comesBack(StateResponse(id: "a", bundle: "b", pid: .max, status: 3, terminal: true, exitStatus: 137, exitedAt: Self.time, execID: "x"))
    try comesBack(PidsResponse(processes: [ProcessInfo(pid: 1), ProcessInfo(pid: 2, info: WireAny(typeURL: "t", value: [1]))]))
    try comesBack(DeleteResponse(pid: 1, exitStatus: 2, exitedAt: Self.time))
    try comesBack(TTRPCResponse(status: Status(code: -1, message: "m", details: [WireAny()]), payload: [1, 2]))
    try comesBack(
      TTRPCRequest(service: "s", method: "m", payload: [9], timeoutNano: -5, metadata: [KeyValue(key: "k", value: "v"), KeyValue()]))
    try comesBack(ForwardRequest(envelope: Envelope(timestamp: Self.time, namespace: "n", topic: "/t", event: WireAny(typeURL: "u", value: [1]))))
    try comesBack(TaskCreate(containerID: "c", bundle: "b", rootfs: [Self.mount], io: TaskIO(stdin: "i", terminal: true), pid: 7))
    try comesBack(TaskExit(containerID: "c", id: "e", pid: 3, exitStatus: 4, exitedAt: Self.time))
  }

  @Test func bytesAreTheKnownOnes() throws {
    #expect(DeleteResponse(pid: 300, exitStatus: 137, exitedAt: Timestamp(seconds: 1)).encoded == [0x08, 0xAC, 0x02, 0x10, 0x89, 0x01, 0x1A, 0x02, 0x08, 0x01])
    #expect(Timestamp(seconds: -1).encoded == [0x08] + [UInt8](repeating: 0xFF, count: 9) + [0x01])
  }

  @Test func unknownFieldsAndOtherWireTypesAreSkipped() throws {
    let unknown: [UInt8] = [0x7A, 0x01, 0x41, 0x81, 0x02, 1, 2, 3, 4, 5, 6, 7, 8, 0x85, 0x02, 1, 2, 3, 4, 0x88, 0x02, 0x01]
    // Field 1 as a number is not the id.
    #expect(try ProcessRequest(wire: unknown + [0x08, 0x05] + ProcessRequest(id: "a", execID: "b").encoded) == ProcessRequest(id: "a", execID: "b"))
  }

  @Test func malformedBytesAreNamed() {
    #expect(throws: WireError.truncated) { try ProcessRequest(wire: [0x0A, 0x05, 0x41]) }
    #expect(throws: WireError.notUTF8) { try ProcessRequest(wire: [0x0A, 0x01, 0xFF]) }
    #expect(throws: WireError.badWireType(3)) { try ProcessRequest(wire: [0x0B]) }
    #expect(throws: WireError.badFieldNumber) { try ProcessRequest(wire: [0x00]) }
    #expect(throws: WireError.varintTooLong) { try ProcessRequest(wire: [UInt8](repeating: 0xFF, count: 11)) }
    #expect(throws: WireError.truncated) { try ProcessRequest(wire: [0x0A] + [UInt8](repeating: 0xFF, count: 9) + [0x01]) }
  }

  @Test func cutAndChangedMessagesNeverCrash() {
    let whole = Self.create.encoded
    for length in 0..<whole.count { _ = try? CreateTaskRequest(wire: Array(whole[..<length])) }
    var dice = Dice()
    for _ in 0..<5000 {
      var changed = whole
      changed[Int.random(in: 0..<changed.count, using: &dice)] = UInt8.random(in: 0...255, using: &dice)
      _ = try? CreateTaskRequest(wire: changed)
      let noise = (0..<Int.random(in: 0..<200, using: &dice)).map { _ in UInt8.random(in: 0...255, using: &dice) }
      _ = try? CreateTaskRequest(wire: noise)
      _ = try? TTRPCRequest(wire: noise)
      _ = try? TTRPCResponse(wire: noise)
    }
  }
}
