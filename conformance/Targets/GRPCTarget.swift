import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import ContainerdClient
import GRPCFrontend
import GRPCTransport
import Hashing
import InMemoryFakes
import Logging
import Protocols
import SystemKit

extension Target {
  /// `inproc:grpc`: the daemon's services over the in-memory fakes, served on a socket and asked through it.
  static func grpc(_ address: String) -> Target {
    var target = Target(address: address, capabilities: [.sha512, .namespaces])
    target[SnapshotSubject.self] = { workspace in
      let client = try await Connection.open(socket: try await serve(in: workspace), namespace: "conformance", in: workspace)
      return SnapshotSubject(snapshotter: client.snapshotter("overlayfs"))
    }
    target[ContentSubject.self] = { workspace in
      let client = try await Connection.open(socket: try await serve(in: workspace), namespace: "conformance", in: workspace)
      return ContentSubject(store: client.content, rules: ContentRules(wire: true)) { Digest.of($0, $1) }
    }
    target[WireContentSubject.self] = { workspace in
      let socket = try await serve(in: workspace)
      let client = try await Connection.open(socket: socket, namespace: "conformance", in: workspace)
      return WireContentSubject(socket: socket, namespace: "conformance", content: ContentSubject(store: client.content) { Digest.of($0, $1) })
    }
    target[WireSnapshotterSubject.self] = { workspace in
      WireSnapshotterSubject(socket: try await serve(in: workspace), snapshotter: "overlayfs", namespace: "conformance")
    }
    return target
  }

  /// A daemon of its own for the case; gives its socket.
  private static func serve(in workspace: Workspace) async throws -> String {
    // A socket's path has room for some hundred bytes.
    let place = workspace.directory.utf8.count < 90 ? workspace.directory : "/tmp/\(workspace.mark)-d"
    let socket = place + "/d.sock"
    try Files.makeDirectories(place)
    let events = InMemoryEventExchange()
    let metadata = InMemoryMetadataStore(content: InMemoryContentStore(), snapshotters: ["overlayfs": InMemorySnapshotter()], events: events)
    let backends = Backends(
      metadata: metadata, applier: InMemoryLayerApplier(), differ: InMemoryLayerDiffer(), runtime: InMemoryRuntime(events: events), events: events,
      scheduleCollection: {}, plugins: [], identity: Identity(version: "1", revision: "r", uuid: "u", pid: 1, pidNamespace: 1))
    var logger = Logger(label: "conformance")
    logger.logLevel = .critical
    let server = GRPCSocketServer(
      socket: socket, services: GRPCFrontend.services(backends), interceptors: [ContainerdInterceptor(logger: logger)])
    let serving = Task { try await server.serve() }
    workspace.endings.add {
      server.stop()
      _ = await serving.result
      try Files.removeTree(place)
    }
    for _ in 0..<2000 {
      // The server gives the socket its mode once it listens.
      var status = stat()
      if stat(socket, &status) == 0, status.st_mode & 0o777 == 0o660 { return socket }
      try await Task.sleep(for: .milliseconds(5))
    }
    throw SuiteError("the server of \(socket) does not listen within 10 s")
  }
}
