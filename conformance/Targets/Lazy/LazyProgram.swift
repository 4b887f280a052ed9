import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import ContainerdClient
import Protocols
import SystemKit
import TestSupport

/// A lazy snapshotter as a program, which asks the containerd at `{containerd}` about images.
struct LazyProgram: Sendable {
  /// What is run to serve `root` at `socket`.
  let command: @Sendable (_ root: String, _ socket: String, _ containerd: String) -> BackendChild.Command
  /// Seconds that a read may wait for the registry.
  let stall: Double
  let failsOver: Bool

  /// Which of its mounts are lazy layers', and what is there of a case.
  private struct Scene: Sendable {
    let child: BackendChild
    let site: LazyRegistrySite
    let containerd: PlayedContainerd
    let trees: KernelTrees
    func snapshotter() async throws -> any Snapshotter { try await child.client(namespace: "conformance").snapshotter("conformance") }
  }

  private func scene(in workspace: Workspace) async throws -> Scene {
    try needFuse()
    let site = try await LazyRegistrySite.start(in: workspace, secured: false)
    let containerd = try await PlayedContainerd.start(site, in: workspace)
    let root = workspace.directory + "/root"
    let child = try BackendChild(root: root, in: workspace, hasFaultPlaces: false) { command(root, $0, containerd.socket) }
    let scene = Scene(
      child: child, site: site, containerd: containerd, trees: KernelTrees(MountingTrees(mountPoint: workspace.directory + "/mnt")))
    // What holds the mounts of a server that is killed ends when it holds none.
    workspace.endings.add { try await Self.putAway(scene) }
    return scene
  }

  /// Removes every snapshot, and lets the program end in order; one that has ended before is none of ours.
  private static func putAway(_ scene: Scene) async throws {
    if try await scene.child.hasEnded() { return }
    scene.site.hands.trouble(nil)
    let snapshotter = try await scene.snapshotter()
    for _ in 0..<10 {
      let left = Visited<String>()
      try await snapshotter.walk(.all) { left.append($0.name) }
      if left.items.isEmpty { break }
      for name in left.items {
        do { try await snapshotter.remove(name) } catch let error as ContainerdError where [.failedPrecondition, .notFound].contains(error.code) {}
      }
    }
    _ = try await scene.child.terminate(within: 10)
  }

  func restart(in workspace: Workspace) async throws -> RestartLazySubject {
    let scene = try await scene(in: workspace)
    let root = scene.child.root
    return RestartLazySubject(
      process: scene.child, layers: scene.site.layers.map(\.name), labels: { scene.containerd.labels($0) }, registry: scene.site.hands, trees: scene.trees,
      stall: stall * workspace.patience, failsOver: failsOver, mounted: { try MountTable.below(root) },
      acquaint: { try await scene.containerd.acquaint($0, in: workspace) }
    ) { try await scene.snapshotter() }
  }

  /// The same, started and acquainted.
  func subject(in workspace: Workspace) async throws -> LazySubject {
    let scene = try await scene(in: workspace)
    do { try await scene.child.start() } catch let refused as StartRefused { throw SuiteError("\(refused)") }
    let snapshotter = try await scene.snapshotter()
    try await scene.containerd.acquaint(snapshotter, in: workspace)
    let root = scene.child.root
    return LazySubject(
      snapshotter: snapshotter, layers: scene.site.layers.map(\.name), labels: { scene.containerd.labels($0) }, registry: scene.site.hands,
      trees: scene.trees, stall: stall * workspace.patience, mounted: { try MountTable.below(root) }, held: { try DiskSpace.allocated(below: root) })
  }
}

extension LazyProgram {
  /// The same, as a client that asks for layers sees it.
  func remote(in workspace: Workspace) async throws -> RemoteSnapshotSubject {
    let subject = try await subject(in: workspace)
    return RemoteSnapshotSubject(
      snapshotter: subject.snapshotter, layers: subject.layers, absent: "sha256:" + String(repeating: "ab", count: 32), labels: subject.labels)
  }
}

extension Target {
  /// Lazy layers of a program.
  mutating func offer(_ program: LazyProgram) {
    capabilities.formUnion([.lazy, .credentials, .visibleCache])
    if program.failsOver { capabilities.insert(.failover) }
    self[RestartLazySubject.self] = { try await program.restart(in: $0) }
    if self[LazySubject.self] != nil { return }
    capabilities.insert(.remote)
    self[LazySubject.self] = { try await program.subject(in: $0) }
    self[RemoteSnapshotSubject.self] = { try await program.remote(in: $0) }
  }
}
