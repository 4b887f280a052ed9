import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCTransport
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// One method that goes on answering until its caller has had enough.
private final class EndlessService: RegistrableRPCService {
  static let method = MethodDescriptor(fullyQualifiedService: "test.v1.Endless", method: "Count")
  let running = Atomic(0)

  func registerMethods(with router: inout RPCRouter<some ServerTransport>) {
    router.registerHandler(forMethod: Self.method, deserializer: Bytes(), serializer: Bytes()) { _, _ in
      StreamingServerResponse { writer in
        self.running.add(1, ordering: .relaxed)
        defer { self.running.subtract(1, ordering: .relaxed) }
        while true {
          try await writer.write([1])
          try await Task.sleep(for: .milliseconds(1))
        }
      }
    }
  }
}

private struct Bytes: MessageSerializer, MessageDeserializer {
  func serialize<Out: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Out { Out(message) }
  func deserialize<In: GRPCContiguousBytes>(_ bytes: In) throws -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}

@Suite struct StreamResetTests {
  @Test func `a client that resets many streams keeps its connection, and what it reset ends`() async throws {
    let path = "/tmp/ref-resets-\(UInt32.random(in: 0 ... .max)).sock"
    let service = EndlessService()
    let server = GRPCSocketServer(socket: path, services: [service])
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.serve() }
      let transport = try HTTP2ClientTransport.Posix(target: .unixDomainSocket(path: path), transportSecurity: .plaintext)
      try await withGRPCClient(transport: transport) { client in
        /// Returns after `count` messages, which resets the stream.
        @Sendable func read(_ count: Int, during body: @escaping @Sendable () async throws -> Void = {}) async throws {
          var options = CallOptions.defaults
          options.waitForReady = true
          try await client.serverStreaming(
            request: ClientRequest(message: [1]), descriptor: EndlessService.method, serializer: Bytes(), deserializer: Bytes(), options: options
          ) { response in
            var messages = response.messages.makeAsyncIterator()
            for number in 0..<count {
              #expect(try await messages.next() == [1])
              if number == 0 { try await body() }
            }
          }
        }
        // The connection's end would be this call's as well.
        try await read(2) {
          for _ in 0..<450 { try await read(1) }
        }
      }
      for _ in 0..<1000 where service.running.load(ordering: .relaxed) > 0 { try await Task.sleep(for: .milliseconds(10)) }
      #expect(service.running.load(ordering: .relaxed) == 0)
      server.stop()
      try await group.waitForAll()
    }
  }
}
