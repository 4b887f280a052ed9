import BlockingIO
import ConformanceKit
import ConformanceSuites
import ContainerdClient
import Hashing
import Protocols
import SystemKit
import TestSupport

extension Target {
  /// The overlay snapshotter and the local content store, each in a process of its own that can be killed.
  mutating func offerVictims() {
    capabilities.formUnion([.layout, .versionedDatabase])
    self[RestartSnapshotSubject.self] = { workspace in
      try needRoot()
      let root = workspace.directory + "/backend"
      let child = try victim(.snapshots, root: root, in: workspace)
      let layout = SnapshotLayout(snapshots: root + "/snapshots", tree: "fs", database: root + "/index.db", staging: ["new-", "rm-"], age: Aged.database)
      return RestartSnapshotSubject(
        process: child, trees: MountingTrees(mountPoint: workspace.directory + "/mnt"), layout: layout, leftovers: layout.entries
      ) { try await child.client(namespace: "conformance").snapshotter("overlayfs") }
    }
    self[RestartContentSubject.self] = { workspace in
      let root = workspace.directory + "/backend"
      let child = try victim(.content, root: root, in: workspace)
      return RestartContentSubject(
        process: child, rules: ContentRules(wire: true), blobs: { "\(root)/blobs/\($0.algorithm.rawValue)/\($0.hex)" }, digest: { Digest.of($0) }
      ) {
        try await child.client(namespace: "conformance").content
      }
    }
  }
}

extension Target {
  /// The metadata store over the same two, in one process.
  mutating func offerMetadataVictims() {
    capabilities.formUnion([.layout, .versionedDatabase])
    let running: @Sendable (Workspace) throws -> ContainerdProgram.Running = { workspace in
      try needRoot()
      return ContainerdProgram.Running(child: try victim(.metadata, root: workspace.directory + "/backend", in: workspace))
    }
    self[RestartMetadataSubject.self] = { workspace in
      let running = try running(workspace)
      return running.metadata(snapshotter: "overlayfs", settling: 0, database: running.child.root + "/meta.db", age: Aged.database)
    }
    self[RestartSnapshotSubject.self] = { workspace in
      let running = try running(workspace)
      let root = running.child.root + "/snapshots"
      let layout = SnapshotLayout(snapshots: root + "/snapshots", tree: "fs", database: root + "/index.db", staging: ["new-", "rm-"], age: Aged.database)
      return RestartSnapshotSubject(
        process: running.child, trees: MountingTrees(mountPoint: workspace.directory + "/mnt"), layout: layout, leftovers: layout.entries
      ) { CollectingSnapshotter(base: try await running.client().snapshotter("overlayfs"), collect: running.collect) }
    }
    self[RestartContentSubject.self] = { workspace in
      let running = try running(workspace)
      return RestartContentSubject(process: running.child, rules: ContentRules(wire: true, linking: .afterDeletion), digest: { Digest.of($0) }) {
        try await running.client().content
      }
    }
  }
}

private func victim(_ victim: Victim, root: String, in workspace: Workspace) throws -> BackendChild {
  try BackendChild(root: root, in: workspace, hasFaultPlaces: CrashPoint.isCompiledIn) { socket in
    .init(words: ["/proc/self/exe", "victim", "--root", root, "--socket", socket, victim.rawValue])
  }
}

extension SnapshotLayout {
  /// What lies in the directory of snapshots.
  var entries: @Sendable () async throws -> [String] {
    { [snapshots] in try await DedicatedThread.run { try Files.names(in: snapshots).sorted() } }
  }
}
