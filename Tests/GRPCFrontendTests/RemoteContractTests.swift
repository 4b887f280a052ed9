import CLinux
import ConformanceSuites
import ContainerdClient
import GRPCFrontend
import GRPCTransport
import Hashing
import InMemoryFakes
import Logging
import Protocols
import TestSupport
import Testing

/// The contract's cases through the daemon's services, over a real socket, by our own client: whatever the wire does to a value, an error or an
/// order shows here.
@Suite struct RemoteContractTests {
  /// What the wire cannot say: an ingest is cut to nothing or not at all; and a reader asks for each piece by the blob's name.
  @Test(arguments: ContentStoreSuite.cases.filter { $0.needs.isDisjoint(with: [.truncation, .openReaders]) }) func content(
    _ contract: ContractCase<ContentSubject>
  ) async throws {
    try await Self.connected { client in try await contract.run(on: ContentSubject(store: client.content) { Digest.of($0, $1) }) }
  }

  /// The daemon's snapshotter is not a client's to close, and its fakes have no files.
  @Test(arguments: SnapshotterSuite.cases.filter { $0.needs.isDisjoint(with: [.files, .closing]) }) func snapshots(
    _ contract: ContractCase<SnapshotSubject>
  ) async throws {
    try await Self.connected { client in try await contract.run(on: SnapshotSubject(snapshotter: client.snapshotter("overlayfs"))) }
  }

  /// A daemon of its own for each case, gone when the case is.
  private static func connected(_ body: @escaping @Sendable (ContainerdClient) async throws -> Void) async throws {
    let scratch = ScratchDirectory("remote")
    let socket = scratch.path + "/daemon.sock"
    let events = InMemoryEventExchange()
    let metadata = InMemoryMetadataStore(content: InMemoryContentStore(), snapshotters: ["overlayfs": InMemorySnapshotter()], events: events)
    let backends = Backends(
      metadata: metadata, applier: InMemoryLayerApplier(), differ: InMemoryLayerDiffer(), runtime: InMemoryRuntime(events: events), events: events,
      scheduleCollection: {}, plugins: [], identity: Identity(version: "1", revision: "r", uuid: "u", pid: 1, pidNamespace: 1))
    var logger = Logger(label: "contract")
    logger.logLevel = .critical
    let server = GRPCSocketServer(
      socket: socket, services: GRPCFrontend.services(backends), interceptors: [ContainerdInterceptor(logger: logger)])
    let serving = Task { try await server.serve() }
    let result: Result<Void, any Error>
    do {
      while !listens(socket) { try await Task.sleep(for: .milliseconds(2)) }
      result = .success(try await ContainerdClient.with(socket: socket, namespace: "n", body))
    } catch { result = .failure(error) }
    server.stop()
    try await serving.value
    try result.get()
  }

  /// The server gives the socket its mode once it listens.
  private static func listens(_ socket: String) -> Bool {
    var status = stat()
    return stat(socket, &status) == 0 && status.st_mode & 0o777 == 0o660
  }
}
