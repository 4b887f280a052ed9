import BlockingIO
import ConformanceSuites
import GRPCFrontend
import GRPCTransport
import InMemoryFakes
import LocalContentStore
import Logging
import Metadata
import OverlaySnapshotter
import Protocols
import SystemKit

/// A backend of this package, served on a socket by a process that may be killed at any time.
public enum Victim: String, Sendable {
  /// The overlay snapshotter alone.
  case snapshots
  /// The local content store alone.
  case content
  /// The metadata store over both.
  case metadata

  /// Serves until the process ends.
  public func serve(root: String, socket: String) async throws {
    let events = InMemoryEventExchange()
    let metadata = try await DedicatedThread.run { () -> any MetadataStore in
      switch self {
      case .snapshots: return BareStores(snapshots: try OverlaySnapshotter(root: root))
      case .content: return BareStores(store: try LocalContentStore(root: root))
      case .metadata:
        return try SQLiteMetadataStore(
          path: root + "/meta.db", content: try LocalContentStore(root: root + "/content"),
          snapshotters: ["overlayfs": try OverlaySnapshotter(root: root + "/snapshots")], events: events)
      }
    }
    let backends = Backends(
      metadata: metadata, applier: InMemoryLayerApplier(), differ: InMemoryLayerDiffer(), runtime: InMemoryRuntime(events: events), events: events,
      scheduleCollection: {}, plugins: [], identity: Identity(version: "1", revision: "r", uuid: "u", pid: 1, pidNamespace: 1))
    var logger = Logger(label: "conformance")
    logger.logLevel = .critical
    let server = GRPCSocketServer(socket: socket, services: GRPCFrontend.services(backends), interceptors: [ContainerdInterceptor(logger: logger)])
    // As a daemon does soon after its start, for what an earlier process was killed over; here before anybody asks, so that each start passes the
    // same places in the same order.
    do { try await metadata.collectGarbage() } catch { print("garbage collection: \(error)") }
    try await server.serve()
  }
}
