import CLinux
import ConformanceBoundarySuites
import ConformanceSuites
import ContainerdClient
import GRPCFrontend
import GRPCTransport
import InMemoryFakes
import Logging
import Protocols
import SystemKit

/// The parts of a pipeline as containerd's services on a socket: whatever a client says to them goes to the parts themselves.
enum PartsDaemon {
  static let snapshotter = "overlayfs"

  /// Serves for the time of the body.
  static func with<Value: Sendable>(_ parts: PipelineParts, _ body: @Sendable (_ socket: String) async throws -> Value) async throws -> Value {
    // A socket's path has room for some hundred bytes.
    var template = Array("/tmp/parts-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp", "/tmp/parts-XXXXXX") }
    let place = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let socket = place + "/d.sock"
    let events = InMemoryEventExchange()
    let backends = Backends(
      metadata: PartsMetadata(parts: parts, events: events), applier: parts.applier, differ: InMemoryLayerDiffer(), runtime: parts.runtime, events: events,
      scheduleCollection: {}, plugins: [], identity: Identity(version: "1", revision: "r", uuid: "u", pid: 1, pidNamespace: 1))
    var logger = Logger(label: "conformance")
    logger.logLevel = .critical
    let server = GRPCSocketServer(socket: socket, services: GRPCFrontend.services(backends), interceptors: [ContainerdInterceptor(logger: logger)])
    let serving = Task { try await server.serve() }
    let result: Result<Value, any Error>
    do {
      try await listening(socket)
      result = .success(try await body(socket))
    } catch { result = .failure(error) }
    server.stop()
    _ = await serving.result
    try Files.removeTree(place)
    return try result.get()
  }

  private static func listening(_ socket: String) async throws {
    for _ in 0..<2000 {
      // The server gives the socket its mode once it listens.
      var status = stat()
      if stat(socket, &status) == 0, status.st_mode & 0o777 == 0o660 { return }
      try await Task.sleep(for: .milliseconds(5))
    }
    throw SuiteError("the server of \(socket) does not listen within 10 s")
  }

  /// A container of a committed snapshot, from its first step to its last, through this package's services and client.
  static func run(_ snapshot: String, _ parts: PipelineParts) async throws {
    try await with(parts) { socket in
      try await ContainerdClient.with(socket: socket, namespace: "case") { client in
        let id = "container"
        let spec = TypedValue(typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: Array("{}".utf8))
        let snapshots = client.snapshotter(snapshotter)
        let mounts = try await snapshots.prepare(id, parent: snapshot, labels: [:])
        _ = try await client.containers.create(
          ContainerRecord(id: id, runtime: parts.runtime.name, spec: spec, snapshotter: snapshotter, snapshotKey: id))
        let task = try await client.tasks.create(id, rootfs: mounts, io: TaskIO())
        _ = try await task.start(exec: nil)
        try await task.kill(exec: nil, signal: 9, all: true)
        _ = try await task.wait(exec: nil)
        _ = try await task.delete(exec: nil)
        try await client.containers.delete(id)
        try await snapshots.remove(id)
      }
    }
  }
}

/// A metadata store without metadata of content and snapshots: those are the parts, as they are.
private struct PartsMetadata: MetadataStore {
  let parts: PipelineParts
  private let rest: InMemoryMetadataStore

  init(parts: PipelineParts, events: InMemoryEventExchange) {
    self.parts = parts
    rest = InMemoryMetadataStore(content: InMemoryContentStore(), snapshotters: [PartsDaemon.snapshotter: InMemorySnapshotter()], events: events)
  }

  var namespaces: any NamespaceStore { rest.namespaces }
  func images(in scope: Scope) throws -> any ImageStore { try rest.images(in: scope) }
  func containers(in scope: Scope) throws -> any ContainerStore { try rest.containers(in: scope) }
  func leases(in scope: Scope) throws -> any LeaseStore { try rest.leases(in: scope) }
  func content(in scope: Scope) throws -> any ContentStore { parts.content }
  func snapshotter(_ name: String, in scope: Scope) throws -> any Snapshotter { parts.snapshotter }
  var snapshotterNames: [String] { [PartsDaemon.snapshotter] }
  func collectGarbage() async throws -> GarbageReport { GarbageReport() }
}
