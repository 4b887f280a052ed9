import BlockingIO
import GRPCCore
import GRPCTransport
import Glibc
import Testing

/// One method that answers with nothing.
private struct SilentService: RegistrableRPCService {
  func registerMethods(with router: inout RPCRouter<some ServerTransport>) {
    router.registerHandler(forMethod: .init(fullyQualifiedService: "t.S", method: "M"), deserializer: Bytes(), serializer: Bytes()) { _, _ in
      StreamingServerResponse(single: ServerResponse(message: []))
    }
  }
}

private struct Bytes: MessageSerializer, MessageDeserializer {
  func serialize<Out: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Out { Out(message) }
  func deserialize<In: GRPCContiguousBytes>(_ bytes: In) throws -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}

@Suite struct FarewellTests {
  /// What a client had on its way when it was told of the end, and the calls of it that must be answered.
  static let late: [(name: String, bytes: [UInt8], calls: Set<UInt32>)] = [
    ("nothing", [], []),
    ("a call", RawClient.call(3), [3]),
    ("two calls", RawClient.call(3) + RawClient.call(5), [3, 5]),
    ("what grpc-go sends after a reply, and a call", RawClient.windowUpdate + RawClient.frame(.ping, [2, 4, 16, 16, 9, 14, 7, 7]) + RawClient.call(3), [3]),
    ("settings, and a call", RawClient.frame(.settings, [0, 4, 0, 1, 17, 112]) + RawClient.call(3), [3]),
    ("a reset, and a call", RawClient.frame(.reset, stream: 1, [0, 0, 0, 8]) + RawClient.call(3), [3]),
  ]

  @Test(arguments: 0..<late.count) func callsThatWereUnderWayWhenTheServerIsToldToEndAreAnswered(_ number: Int) async throws {
    let path = "/tmp/ref-farewell-\(UInt32.random(in: 0 ... .max)).sock"
    let server = GRPCSocketServer(socket: path, services: [SilentService()])
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.serve() }
      let (frames, told) = try await DedicatedThread.run { try Self.converse(path, server, Self.late[number].bytes) }
      let (name, calls) = (Self.late[number].name, Self.late[number].calls)
      #expect(told.contains { $0.isA(.goAway) && $0.last == 0x7fff_ffff }, "\(name)")
      #expect(!frames.contains { $0.isA(.reset) }, "\(name)")
      let answered = Set(frames.filter { $0.isA(.headers) && $0.flags & 1 == 1 }.map(\.stream))
      #expect(answered == calls, "\(name)")
      let goodbyes = frames.filter { $0.isA(.goAway) }
      #expect(goodbyes.allSatisfy { $0.payload[4..<8].allSatisfy { $0 == 0 } }, "\(name): \(goodbyes)")
      #expect(goodbyes.last?.last == calls.max() ?? 1, "\(name)")
      try await group.waitForAll()
    }
  }

  /// Gives what came after `late` was sent, and what came before, when the server had been told to end.
  private static func converse(_ path: String, _ server: GRPCSocketServer, _ late: [UInt8]) throws -> ([RawClient.Frame], told: [RawClient.Frame]) {
    let client = try RawClient(path)
    client.send(RawClient.call(1))
    _ = client.until { $0.isA(.headers) && $0.flags & 1 == 1 }
    server.stop()
    let told = client.until { $0.isA(.ping) && $0.flags & 1 == 0 }
    client.send(late + RawClient.frame(.ping, flags: 1, told.last?.payload ?? []))
    let frames = client.until { frame in
      guard frame.isA(.ping), frame.flags & 1 == 0 else { return false }
      // By now the HTTP/2 handler knows; this was under way too.
      client.send(RawClient.windowUpdate + RawClient.frame(.windowUpdate, stream: 1, [0, 0, 0, 1]) + RawClient.frame(.data, stream: 1, [1]))
      client.send(RawClient.frame(.ping, flags: 1, frame.payload))
      return false
    }
    return (frames, told)
  }

  @Test(.timeLimit(.minutes(1))) func aClientThatDoesNotAnswerIsNotWaitedFor() async throws {
    let path = "/tmp/ref-farewell-\(UInt32.random(in: 0 ... .max)).sock"
    let server = GRPCSocketServer(socket: path, services: [SilentService()])
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.serve() }
      let frames = try await DedicatedThread.run {
        let client = try RawClient(path)
        client.send(RawClient.call(1))
        _ = client.until { $0.isA(.headers) && $0.flags & 1 == 1 }
        server.stop()
        let frames = client.until { _ in false }
        #expect(client.isEnded, "the server waits for an answer")
        return frames
      }
      #expect(frames.contains { $0.isA(.goAway) })
      // It returns, after seconds.
      try await group.waitForAll()
    }
  }

  /// Whoever is just being accepted when the server is told to end is not left half made, which ends the process.
  @Test func whoComesWhenItEndsIsSentAway() async throws {
    for _ in 0..<50 {
      let path = "/tmp/ref-farewell-\(UInt32.random(in: 0 ... .max)).sock"
      let server = GRPCSocketServer(socket: path, services: [SilentService()])
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.serve() }
        try await DedicatedThread.run {
          let client = try RawClient(path, says: [])
          server.stop()
          _ = client.until { _ in false }
        }
        try await group.waitForAll()
      }
    }
  }
}
