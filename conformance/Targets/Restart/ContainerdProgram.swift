import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import ConformanceWireSuites
import ContainerdAPI
import ContainerdClient
import GRPCCore
import Hashing
import Protocols
import SwiftProtobuf
import SystemKit
import TestSupport
import WireMapping

extension Target {
  /// `containerd:PROGRAM[?snapshotter=NAME]`: a whole containerd by its program. Each case starts one of its own, on a directory of its own, with a
  /// configuration written for it, and may end it in every way.
  static func containerdProgram(_ address: String) throws -> Target? {
    guard let (program, options) = try programAddress(address, scheme: "containerd:") else { return nil }
    for option in options.keys where option != "snapshotter" { throw SuiteError("\(address): \(option) is not understood; known is snapshotter=NAME") }
    let containerd = ContainerdProgram(path: program, snapshotter: options["snapshotter"] ?? "overlayfs")
    var target = Target(address: address, capabilities: [.sha512, .wholeDaemon])
    if containerd.layout(root: "") != nil { target.capabilities.insert(.layout) }
    if containerd.isOurs { target.capabilities.insert(.versionedDatabase) }
    if geteuid() == 0 { target.capabilities.insert(.files) }
    target[RestartSnapshotSubject.self] = { workspace in
      try needRoot()
      let running = try containerd.running(in: workspace)
      let layout = containerd.layout(root: running.child.root)
      return RestartSnapshotSubject(
        process: running.child, trees: MountingTrees(mountPoint: workspace.directory + "/mnt"), layout: layout, settling: 10 * workspace.patience,
        leftovers: layout?.entries
      ) { CollectingSnapshotter(base: try await running.client().snapshotter(containerd.snapshotter), collect: running.collect) }
    }
    target[RestartMetadataSubject.self] = { workspace in
      try needRoot()
      let running = try containerd.running(in: workspace)
      return running.metadata(
        snapshotter: containerd.snapshotter, settling: 10 * workspace.patience,
        database: running.child.root + (containerd.isOurs ? "/io.containerd.metadata.v1.sqlite/meta.db" : "/io.containerd.metadata.v1.bolt/meta.db"),
        age: containerd.isOurs ? Aged.database : nil)
    }
    target[RestartContentSubject.self] = { workspace in
      try needRoot()
      let running = try containerd.running(in: workspace)
      let rules = containerd.isOurs ? ContentRules(wire: true, linking: .afterDeletion) : .service
      return RestartContentSubject(process: running.child, rules: rules, settling: 10 * workspace.patience, digest: { Digest.of($0) }) {
        try await running.client().content
      }
    }
    return target
  }
}

/// A containerd as a program: ours, or another.
struct ContainerdProgram: Sendable {
  let path: String
  let snapshotter: String

  var isOurs: Bool { path.hasSuffix("containerd-ref") }

  /// What of containerd's directory is known; nil where the snapshotter keeps its files in a way of its own.
  func layout(root: String) -> SnapshotLayout? {
    let place = "\(root)/io.containerd.snapshotter.v1.\(snapshotter)"
    let staging = ["new-", "rm-"]
    if isOurs { return SnapshotLayout(snapshots: place + "/snapshots", tree: "fs", database: place + "/index.db", staging: staging, age: Aged.database) }
    switch snapshotter {
    case "overlayfs": return SnapshotLayout(snapshots: place + "/snapshots", tree: "fs", database: place + "/metadata.db", staging: staging)
    case "native": return SnapshotLayout(snapshots: place + "/snapshots", tree: "", database: place + "/metadata.db", staging: staging)
    default: return nil
    }
  }

  func running(in workspace: Workspace) throws -> Running {
    let root = workspace.directory + "/root"
    let file = workspace.directory + "/config.toml"
    let child = try BackendChild(root: root, in: workspace, hasFaultPlaces: false, limit: 30) { socket in
      // What is not judged is not loaded: it would cost a second at every start.
      let without = ["grpc.v1.cri", "snapshotter.v1.aufs", "snapshotter.v1.btrfs", "snapshotter.v1.zfs", "snapshotter.v1.devmapper"]
        .map { "\"io.containerd.\($0)\"" }.joined(separator: ", ")
      let text = """
        version = 2
        root = "\(root)"
        state = "\(workspace.directory)/state"
        disabled_plugins = [\(without)]
        [grpc]
          address = "\(socket)"
        [ttrpc]
          address = "\(socket).ttrpc"
        [plugins."io.containerd.internal.v1.opt"]
          path = "\(workspace.directory)/opt"
        """
      try Files.writeAtomically(Array(text.utf8), to: file)
      return .init(words: [path] + (isOurs ? ["serve"] : []) + ["--config", file])
    }
    return Running(child: child)
  }

  /// One that belongs to a case.
  struct Running: Sendable {
    let child: BackendChild
    private static let namespace = "conformance"
    private static let lease = "conformance"

    /// To the process that runs now. A containerd collects what nobody refers to: everything is made under a lease, which outlives the process.
    func client() async throws -> ContainerdClient {
      try await call { leases, metadata in
        do { _ = try await leases.create(.with { $0.id = Self.lease }, metadata: metadata) } catch let error as RPCError where error.code == .alreadyExists {}
      }
      return try await child.client(namespace: Self.namespace).holding(lease: Self.lease)
    }

    /// Lets it collect garbage, and waits for it.
    var collect: @Sendable () async throws -> Void {
      {
        try await call { leases, metadata in
          // One may be there, of a collection that was killed.
          do { _ = try await leases.create(.with { $0.id = "conformance-collects" }, metadata: metadata) } catch let error as RPCError
            where error.code == .alreadyExists
          {}
          _ = try await leases.delete(
            .with {
              $0.id = "conformance-collects"
              $0.sync = true
            }, metadata: metadata)
        }
      }
    }

    private func call(
      _ body: @Sendable (Containerd_Services_Leases_V1_Leases.Client<WireConnection.Transport>, Metadata) async throws -> Void
    ) async throws {
      try await WireConnection.with(socket: child.socket) { connection in
        do {
          try await body(Containerd_Services_Leases_V1_Leases.Client(wrapping: connection.client), ["containerd-namespace": "\(Self.namespace)"])
        } catch let error as RPCError { throw ContainerdError(error) }
      }
    }
  }
}

extension ContainerdProgram.Running {
  /// Names and what they hold, asked over the wire.
  func metadata(snapshotter: String, settling: Double, database: String, age: (@Sendable (String) throws -> Void)?) -> RestartMetadataSubject {
    RestartMetadataSubject(process: child, database: database, age: age, settling: settling) {
      let store = RemoteMetadata(client: try await child.client(namespace: "n"), wire: try child.wire(), snapshotterName: snapshotter)
      return MetadataSubject(store: store, snapshotter: snapshotter, published: { [] }, now: Timestamp.now) {
        try await Task.sleep(for: .seconds($0))
      } digest: {
        Digest.of($0)
      }
    }
  }
}

/// A snapshotter behind a collector of garbage: what was removed may be on the disk until it has run.
struct CollectingSnapshotter: Snapshotter {
  let base: any Snapshotter
  let collect: @Sendable () async throws -> Void

  func stat(_ key: String) async throws -> SnapshotInfo { try await base.stat(key) }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await base.update(info, fields: fields) }
  func usage(_ key: String) async throws -> SnapshotUsage { try await base.usage(key) }
  func mounts(_ key: String) async throws -> [Mount] { try await base.mounts(key) }
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await base.prepare(key, parent: parent, labels: labels) }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await base.view(key, parent: parent, labels: labels) }
  func commit(_ name: String, key: String, labels: Labels) async throws { try await base.commit(name, key: key, labels: labels) }
  func remove(_ key: String) async throws { try await base.remove(key) }
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws { try await base.walk(filters, visit) }
  func cleanup() async throws {
    try await collect()
    try await base.cleanup()
  }
  func close() async throws { try await base.close() }
}
