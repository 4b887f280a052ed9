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
import Metadata
import Protocols
import SystemKit
import TestSupport

extension Target {
  /// `daemon:SOCK`: a whole containerd. Each case has a namespace of its own, and everything in it is removed afterwards.
  static func daemon(_ address: String) throws -> Target? {
    guard let place = try SocketAddress(address, scheme: "daemon", parameters: ["snapshotter"]) else { return nil }
    var target = Target(address: address, capabilities: geteuid() == 0 ? [.sha512, .programs] : [.sha512])
    target.offerContent(socket: place.path)
    target.sweep = { try await Namespaces.sweep($0, socket: place.path, snapshotter: place.parameters["snapshotter"] ?? "overlayfs") }
    target[ContainerLifeSubject.self] = { workspace in
      try await ContainerLife.subject(
        socket: place.path, snapshotter: place.parameters["snapshotter"] ?? "overlayfs",
        shim: try Machine.find("containerd-shim-runc-v2") ?? RefDaemon.programBeside("containerd-shim-ref-v2"), in: workspace)
    }
    let daemon: Offer<DaemonSubject> = { workspace in
      try await daemonSubject(socket: place.path, snapshotter: place.parameters["snapshotter"] ?? "overlayfs", in: workspace)
    }
    target[DaemonSubject.self] = daemon
    target[MetadataSubject.self] = { workspace in
      try await sharedMetadata(socket: place.path, snapshotter: place.parameters["snapshotter"] ?? "overlayfs", in: workspace)
    }
    target[CollectionSubject.self] = { workspace in
      var collections = try await daemon(workspace).collections
      collections.emptyNamespaces = true
      return collections
    }
    return target
  }

  /// `inproc:daemon`: the services of this package over its metadata store, on a socket of their own; content and snapshots are the fakes.
  static func ownDaemon(_ address: String) -> Target {
    var target = Target(address: address, capabilities: [.sha512])
    target[DaemonParts.self] = { workspace in
      let scratch = ScratchDirectory("conformance-daemon")
      workspace.endings.add { _ = scratch.path }
      let events = InMemoryEventExchange()
      let metadata = try SQLiteMetadataStore(
        path: scratch.path + "/meta.db", content: InMemoryContentStore(), snapshotters: ["overlayfs": InMemorySnapshotter()], events: events)
      return DaemonParts(metadata: metadata, events: events, applier: InMemoryLayerApplier(), differ: InMemoryLayerDiffer())
    }
    target.derive(DaemonSubject.self, from: DaemonParts.self) { parts, workspace in
      try await daemonSubject(socket: try await parts.serve(in: workspace), snapshotter: "overlayfs", in: workspace)
    }
    target.derive(CollectionSubject.self, from: DaemonSubject.self) { daemon, _ in daemon.collections }
    target.derive(MetadataSubject.self, from: DaemonParts.self) { parts, workspace in
      try await sharedMetadata(socket: try await parts.serve(in: workspace), snapshotter: "overlayfs", in: workspace)
    }
    target.derive(ContentSubject.self, from: DaemonParts.self) { parts, workspace in
      let client = try await Connection.open(socket: try await parts.serve(in: workspace), namespace: "conformance", in: workspace)
      return ContentSubject(store: client.content, rules: ContentRules(wire: true, linking: .afterDeletion)) { Digest.of($0, $1) }
    }
    return target
  }

  private static func daemonSubject(socket: String, snapshotter: String, in workspace: Workspace) async throws -> DaemonSubject {
    let namespace = Namespaces.fresh(in: workspace)
    let recorder = RecordedCalls(record: workspace.record)
    let client = try await Connection.open(socket: socket, namespace: namespace, recorder: recorder, in: workspace)
    let wire = try WireConnection(socket: socket, interceptors: [recorder])
    workspace.endings.add {
      let left = DaemonLeftovers(client: client, wire: wire, namespace: namespace, snapshotter: snapshotter)
      try await left.remove()
      wire.close()
      try await Namespaces.remove(namespace, socket: socket)
    }
    return DaemonSubject(namespace: namespace, client: client, wire: wire, snapshotter: snapshotter) { text, words in
      workspace.record.add(text, command: words.isEmpty ? "" : Shell.line(["ctr", "--address", socket, "-n", namespace] + words))
    }
  }
}

extension DaemonParts {
  /// Serves them on a socket until the case is over; gives the socket.
  func serve(in workspace: Workspace) async throws -> String {
    // A socket's path has room for some hundred bytes: not in the case's directory.
    let scratch = ScratchDirectory("conformance-socket")
    let socket = scratch.path + "/daemon.sock"
    let backends = Backends(
      metadata: metadata, applier: applier, differ: differ, runtime: InMemoryRuntime(events: InMemoryEventExchange()), events: events, scheduleCollection: {},
      plugins: [], identity: Identity(version: "1", revision: "r", uuid: "u", pid: 1, pidNamespace: 1))
    var logger = Logger(label: "conformance")
    logger.logLevel = .critical
    let server = GRPCSocketServer(
      socket: socket, services: GRPCFrontend.services(backends), interceptors: interceptors + [ContainerdInterceptor(logger: logger)])
    let serving = Task { try await server.serve() }
    workspace.endings.add {
      server.stop()
      try await serving.value
      _ = scratch.path
    }
    for _ in 0..<1000 {
      do {
        try await Connection.requireListener(socket)
        return socket
      } catch { try await Task.sleep(for: .milliseconds(5)) }
    }
    throw SuiteError("the server of \(socket) does not listen within 5 s")
  }
}
