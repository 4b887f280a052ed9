import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCTransport
import NIOCore
import NIOPosix
import Testing

/// One method that answers with what it was sent.
private struct EchoService: RegistrableRPCService {
  static let method = MethodDescriptor(fullyQualifiedService: "test.v1.Echo", method: "Say")

  func registerMethods(with router: inout RPCRouter<some ServerTransport>) {
    router.registerHandler(forMethod: Self.method, deserializer: Bytes(), serializer: Bytes()) { request, _ in
      let message = try await ServerRequest(stream: request).message
      return StreamingServerResponse(single: ServerResponse(message: message))
    }
  }
}

private struct Bytes: MessageSerializer, MessageDeserializer {
  func serialize<Out: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Out { Out(message) }
  func deserialize<In: GRPCContiguousBytes>(_ bytes: In) throws -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}

@Suite struct UnknownMethodsTests {
  @Test func `what nobody serves is unimplemented, in grpc-go's words, and what is served goes on working`() async throws {
    let path = "/tmp/ref-unknown-\(UInt32.random(in: 0 ... .max)).sock"
    let server = GRPCSocketServer(socket: path, services: [EchoService()])
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.serve() }
      let transport = try HTTP2ClientTransport.Posix(target: .unixDomainSocket(path: path), transportSecurity: .plaintext)
      try await withGRPCClient(transport: transport) { client in
        func call(_ method: MethodDescriptor) async throws -> [UInt8] {
          try await client.unary(
            request: ClientRequest(message: [1, 2]), descriptor: method, serializer: Bytes(), deserializer: Bytes(),
            options: .with { $0.waitForReady = true }
          ) { try $0.message }
        }
        for (method, words) in [
          (MethodDescriptor(fullyQualifiedService: "test.v1.Nothing", method: "Say"), "unknown service test.v1.Nothing"),
          (MethodDescriptor(fullyQualifiedService: "test.v1.Echo", method: "Shout"), "unknown method Shout for service test.v1.Echo"),
        ] {
          let error = await #expect(throws: RPCError.self) { try await call(method) }
          #expect(error?.code == .unimplemented)
          #expect(error?.message == words)
        }
        let echo = try await call(EchoService.method)
        #expect(echo == [1, 2])
      }
      server.stop()
      try await group.waitForAll()
    }
  }
}

extension CallOptions {
  fileprivate static func with(_ change: (inout CallOptions) -> Void) -> CallOptions {
    var options = CallOptions.defaults
    change(&options)
    return options
  }
}
