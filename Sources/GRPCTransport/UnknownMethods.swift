import GRPCCore

/// A transport that answers calls to methods nobody serves in grpc-go's words, which name the service or the method.
///
/// Clients go by the class (Unimplemented) to fall back to what older daemons have; people go by the words.
struct UnknownMethods<Transport: ServerTransport>: ServerTransport {
  typealias Bytes = Transport.Bytes

  let transport: Transport
  private let served: [String: Set<String>]

  init(_ transport: Transport, services: [any RegistrableRPCService]) {
    self.transport = transport
    var router = RPCRouter<Transport>()
    for service in services { service.registerMethods(with: &router) }
    served = Dictionary(grouping: router.methods, by: \.service.fullyQualifiedService).mapValues { Set($0.map(\.method)) }
  }

  func configure(context: GRPCServerContext) { transport.configure(context: context) }

  func listen(streamHandler: @escaping @Sendable (RPCStream<Inbound, Outbound>, ServerContext) async -> Void) async throws {
    try await transport.listen { stream, context in
      guard let complaint = Self.complaint(about: stream.descriptor, served) else { return await streamHandler(stream, context) }
      // If the client has gone there is nobody left to tell.
      try? await stream.outbound.write(.status(Status(code: .unimplemented, message: complaint), [:]))
      await stream.outbound.finish()
    }
  }

  static func complaint(about method: MethodDescriptor, _ served: [String: Set<String>]) -> String? {
    let service = method.service.fullyQualifiedService
    guard let methods = served[service] else { return "unknown service \(service)" }
    return methods.contains(method.method) ? nil : "unknown method \(method.method) for service \(service)"
  }

  func beginGracefulShutdown() { transport.beginGracefulShutdown() }
}
