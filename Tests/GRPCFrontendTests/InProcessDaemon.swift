import ContainerdAPI
import GRPCCore
import GRPCFrontend
import GRPCInProcessTransport
import InMemoryFakes
import Logging
import Protocols

/// Every service over fakes, served and called in one process; the interceptor too, as in the daemon.
struct InProcessDaemon {
  let events = InMemoryEventExchange()
  let content = InMemoryContentStore()
  let snapshots = InMemorySnapshotter()
  let runtime = InMemoryRuntime()
  let metadata: InMemoryMetadataStore

  init() {
    metadata = InMemoryMetadataStore(content: content, snapshotters: ["overlayfs": snapshots], events: events)
  }

  typealias Client = GRPCClient<InProcessTransport.Client>

  func use(_ body: @Sendable (Client) async throws -> Void) async throws {
    let backends = Backends(
      metadata: metadata, applier: InMemoryLayerApplier(), differ: InMemoryLayerDiffer(), runtime: runtime, events: events,
      scheduleCollection: {}, plugins: [], identity: Identity(version: "1", revision: "r", uuid: "u", pid: 1, pidNamespace: 2))
    let transport = InProcessTransport()
    let server = GRPCServer(
      transport: transport.server, services: GRPCFrontend.services(backends), interceptors: [ContainerdInterceptor(logger: Logger(label: "test"))])
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.serve() }
      try await withGRPCClient(transport: transport.client) { try await body($0) }
      server.beginGracefulShutdown()
      try await group.waitForAll()
    }
  }
}

/// The headers of a call in a namespace, and in a lease.
func headers(_ namespace: String = "ns", lease: String? = nil) -> Metadata {
  var metadata: Metadata = ["containerd-namespace": "\(namespace)"]
  if let lease { metadata.addString(lease, forKey: "containerd-lease") }
  return metadata
}

/// The status that a call ends with; nil if it succeeds.
func status(of body: () async throws -> Void) async -> RPCError? {
  do {
    try await body()
    return nil
  } catch let error as RPCError { return error } catch { return RPCError(code: .unknown, message: "not a status: \(error)") }
}
