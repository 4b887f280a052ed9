import CLinux
import NIOCore
import NIOPosix
import Protocols
import Synchronization
import SystemKit
import TestSupport
import Testing

@testable import ShimRuntime

/// Client and server against each other over a real socket.
@Suite struct TTRPCCallTests {
  private let directory = ScratchDirectory("ttrpc")
  private let group = MultiThreadedEventLoopGroup.singleton
  private var path: String { directory.path + "/s" }

  private func serve(_ methods: [String: TTRPCServer.Method]) async throws -> TTRPCServer {
    try await TTRPCServer.listen(path: path, group: group, methods: methods)
  }

  private func connect() async throws -> TTRPCClient {
    try await TTRPCClient.connect(path: path, group: group)
  }

  private func error(of body: () async throws -> some Any) async -> ContainerdError? {
    do {
      _ = try await body()
      return nil
    } catch {
      return error as? ContainerdError
    }
  }

  @Test func payloadMetadataAndTimeoutArrive() async throws {
    let server = try await serve([
      "a.S/M": .inOrder { call in
        #expect(call.metadata == ["k": "v"])
        #expect(call.timeout == .seconds(7))
        return call.payload.reversed()
      }
    ])
    let client = try await connect()
    let answer = try await client.call(service: "a.S", method: "M", payload: [1, 2, 3], timeout: .seconds(7), metadata: ["k": "v"])
    #expect(answer == [3, 2, 1])
    await client.close()
    await server.close()
  }

  @Test func answersMayOvertakeEachOther() async throws {
    let gate = OneShot<Void>()
    let server = try await serve([
      "a.S/Slow": .concurrent { _ in
        try await gate.value
        return [1]
      },
      "a.S/Fast": .concurrent { _ in [2] },
    ])
    let client = try await connect()
    async let slow = client.call(service: "a.S", method: "Slow", payload: [])
    for _ in 0..<50 { #expect(try await client.call(service: "a.S", method: "Fast", payload: []) == [2]) }
    gate.resolve(.success(()))
    #expect(try await slow == [1])
    await server.close()
  }

  @Test func aThousandCallsAtATimeGetTheirOwnAnswers() async throws {
    let server = try await serve([
      "a.S/Echo": .concurrent { call in
        if call.payload[0] % 3 == 0 { await Task.yield() }
        return call.payload
      }
    ])
    let client = try await connect()
    try await withThrowingTaskGroup { group in
      for number in 0..<1000 {
        let payload = [UInt8(number % 256), UInt8(number / 256)]
        group.addTask {
          let answer = try await client.call(service: "a.S", method: "Echo", payload: payload)
          #expect(answer == payload)
        }
      }
      try await group.waitForAll()
    }
    await server.close()
  }

  @Test func callsInOrderAreWorkedOnInOrder() async throws {
    let seen = Mutex<[UInt8]>([])
    let server = try await serve([
      "a.S/Note": .inOrder { call in
        seen.withLock { $0 += call.payload }
        return []
      }
    ])
    let client = try await connect()
    for number in 0..<100 { _ = try await client.call(service: "a.S", method: "Note", payload: [UInt8(number)]) }
    #expect(seen.withLock { $0 } == (0..<100).map { UInt8($0) })
    await server.close()
  }

  @Test func errorsKeepClassAndMessage() async throws {
    let server = try await serve(["a.S/M": .inOrder { _ in throw ContainerdError.failedPrecondition("cannot delete a running process") }])
    let client = try await connect()
    let error = await error { try await client.call(service: "a.S", method: "M", payload: []) }
    #expect(error == .failedPrecondition("cannot delete a running process"))
    await server.close()
  }

  @Test func everyClassSurvivesTheWire() {
    for code in ContainerdError.Code.allCases {
      let error = ContainerdError(code, "object")
      #expect(TTRPCStatus.error(TTRPCStatus.status(error)) == error)
    }
  }

  @Test func unknownServicesAndMethodsAreNotImplemented() async throws {
    let server = try await serve(["a.S/M": .inOrder { _ in [] }])
    let client = try await connect()
    #expect(await error { try await client.call(service: "a.S", method: "N", payload: []) } == .notImplemented("method a.S/N"))
    #expect(await error { try await client.call(service: "b.S", method: "M", payload: []) } == .notImplemented("service b.S"))
    await server.close()
  }

  @Test func aCallThatTakesTooLongFailsAloneAndInTime() async throws {
    let gate = OneShot<Void>()
    let server = try await serve([
      "a.S/Never": .concurrent { _ in
        try await gate.value
        return []
      },
      "a.S/M": .inOrder { _ in [1] },
    ])
    let client = try await connect()
    // The answer comes only after the gate is opened, below: without the timeout this would wait for ever.
    let error = await error { try await client.call(service: "a.S", method: "Never", payload: [], timeout: .milliseconds(50)) }
    #expect(error?.code == .deadlineExceeded)
    gate.resolve(.success(()))  // the late answer is dropped
    #expect(try await client.call(service: "a.S", method: "M", payload: []) == [1])
    await server.close()
  }

  @Test func aCancelledCallEndsAtOnce() async throws {
    let gate = OneShot<Void>()
    let server = try await serve([
      "a.S/Never": .concurrent { _ in
        try await gate.value
        return []
      }
    ])
    let client = try await connect()
    let call = Task { try await client.call(service: "a.S", method: "Never", payload: []) }
    call.cancel()
    #expect(await error { try await call.value }?.code == .canceled)
    gate.resolve(.success(()))
    await server.close()
  }

  @Test func everyWaitingCallFailsWhenTheServerGoesAway() async throws {
    let arrived = OneShot<Void>()
    let gate = OneShot<Void>()
    let server = try await serve([
      "a.S/Never": .concurrent { _ in
        arrived.resolve(.success(()))
        try await gate.value
        return []
      }
    ])
    let client = try await connect()
    let closed = OneShot<Void>()
    client.whenClosed { closed.resolve(.success(())) }
    let calls = (0..<10).map { _ in Task { try await client.call(service: "a.S", method: "Never", payload: []) } }
    try await arrived.value
    await server.close()
    for call in calls { #expect(await error { try await call.value }?.code == .unavailable) }
    try await closed.value
    #expect(client.isClosed)
    #expect(await error { try await client.call(service: "a.S", method: "Never", payload: []) }?.code == .unavailable)
    gate.resolve(.success(()))
  }

  @Test func messagesLargerThanTheLimitFailAlone() async throws {
    let large = [UInt8](repeating: 0, count: TTRPCFrame.maximumLength + 1)
    let server = try await serve(["a.S/Large": .inOrder { _ in large }, "a.S/M": .inOrder { _ in [1] }])
    let client = try await connect()
    #expect(await error { try await client.call(service: "a.S", method: "M", payload: large) }?.code == .resourceExhausted)
    #expect(await error { try await client.call(service: "a.S", method: "Large", payload: []) }?.code == .resourceExhausted)
    #expect(try await client.call(service: "a.S", method: "M", payload: []) == [1])
    await server.close()
  }

  @Test func theServerRefusesAnOversizedRequestAndGoesOn() async throws {
    let server = try await serve(["a.S/M": .inOrder { _ in [1] }])
    let received = OneShot<ByteBuffer>()
    let raw = try await ClientBootstrap(group: group).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Collector(first: received)) }
    }.connect(unixDomainSocketPath: path).get()
    var bytes = ByteBuffer()
    bytes.writeMultipleIntegers(UInt32(TTRPCFrame.maximumLength + 1), UInt32(1), UInt8(1), UInt8(0))
    bytes.writeRepeatingByte(0, count: TTRPCFrame.maximumLength + 1)
    try await raw.writeAndFlush(bytes).get()
    var parser = TTRPCFrameParser()
    parser.append(try await received.value)
    guard case .frame(let frame)? = try parser.next() else {
      Issue.record("no answer")
      return
    }
    #expect(frame.stream == 1 && frame.kind == .response)
    #expect(String(buffer: frame.data).contains("resource exhausted"))
    try await raw.close().get()
    await server.close()
  }

  @Test func connectingToNothingIsUnavailable() async {
    #expect(await error { try await TTRPCClient.connect(path: directory.path + "/none", group: group) }?.code == .unavailable)
  }

  @Test func theSocketIsForItsOwnerOnly() async throws {
    let server = try await serve([:])
    var info = stat()
    #expect(lstat(path, &info) == 0)
    #expect(info.st_mode & 0o777 == 0o600)
    await server.close()
  }

  @Test func aSocketLeftByADeadServerIsReplaced() async throws {
    let first = try await serve([:])
    try Files.removeTree(path)
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
    #expect(bound == 0)
    CLinux.close(listener)
    let second = try await serve(["a.S/M": .inOrder { _ in [1] }])
    #expect(try await connect().call(service: "a.S", method: "M", payload: []) == [1])
    await first.close()
    await second.close()
  }
}

/// Hands out the first thing that arrives.
private final class Collector: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let first: OneShot<ByteBuffer>
  init(first: OneShot<ByteBuffer>) { self.first = first }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) { first.resolve(.success(unwrapInboundIn(data))) }
}
