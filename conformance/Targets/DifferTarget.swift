import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import ContainerdClient
import Hashing
import InMemoryFakes
import LayerArchive
import LocalContentStore
import Metadata
import OverlaySnapshotter
import Protocols
import SystemKit
import TestSupport

extension Target {
  /// `diff+grpc://SOCKET?snapshotter=NAME`: the differ of the containerd that listens there, on content and snapshots of the same. Each case has a namespace
  /// of its own, and everything in it is removed afterwards. Mounts are made here as well as there: the daemon must be on this machine.
  static func differ(_ address: String) throws -> Target? {
    guard let place = try SocketAddress(address, scheme: "diff+grpc", parameters: ["snapshotter"]) else { return nil }
    var target = Target(address: address, capabilities: [.files])
    target[WireDifferSubject.self] = { workspace in
      try needRoot()
      return try await .behind(socket: place.path, snapshotter: place.parameters["snapshotter"] ?? "overlayfs", in: workspace)
    }
    target.derive(LayerSubject.self, from: WireDifferSubject.self) { subject, _ in subject.layers }
    return target
  }

  /// `inproc:differ`: the diff service of this package over its own store, snapshotter, applier and differ, on a socket.
  static func ownDiffer(_ address: String) -> Target {
    var target = Target(address: address, capabilities: [.files])
    target[DaemonParts.self] = { workspace in
      try needRoot()
      let root = workspace.directory
      for name in ["apply", "diff"] { try Files.makeDirectories("\(root)/\(name)") }
      let events = InMemoryEventExchange()
      let metadata = try SQLiteMetadataStore(
        path: root + "/meta.db", content: try LocalContentStore(root: root + "/content"),
        snapshotters: ["overlayfs": try OverlaySnapshotter(root: root + "/snapshots")], events: events)
      return DaemonParts(
        metadata: metadata, events: events, applier: ArchiveApplier(mountPoint: root + "/apply"), differ: ArchiveDiffer(mountPoint: root + "/diff"))
    }
    target.derive(WireDifferSubject.self, from: DaemonParts.self) { parts, workspace in
      try await .behind(socket: try await parts.serve(in: workspace), snapshotter: "overlayfs", in: workspace)
    }
    target.derive(LayerSubject.self, from: WireDifferSubject.self) { subject, _ in subject.layers }
    return target
  }
}

extension WireDifferSubject {
  fileprivate static func behind(socket: String, snapshotter: String, in workspace: Workspace) async throws -> WireDifferSubject {
    let namespace = Namespaces.fresh(in: workspace)
    let plain = try await Connection.open(socket: socket, namespace: namespace, in: workspace)
    let client = try await Namespaces.lease(plain, namespace, socket: socket, in: workspace)
    workspace.endings.add {
      try await empty(plain.snapshotter(snapshotter))
      try await emptyContent(plain.content)
    }
    let tool = ["ctr", "--address", socket, "-n", namespace]
    let record = workspace.record
    let answers = Answers()
    let layers = LayerSubject(
      applier: RecordingApplier(base: client.applier, record: record), differ: RecordingDiffer(base: client.differ, record: record),
      content: RecordingContentStore(base: client.content, record: record, tool: tool + ["content"], answers: answers),
      snapshotter: RecordingSnapshotter(
        base: client.snapshotter(snapshotter), record: record, tool: tool + ["snapshots", "--snapshotter", snapshotter], name: snapshotter, answers: answers),
      trees: RecordingTrees(base: MountingTrees(mountPoint: workspace.directory + "/tree"), record: record, answers: answers)
    ) { Digest.of($0) }
    return WireDifferSubject(socket: socket, namespace: namespace, lease: client.scope.lease ?? "", layers: layers)
  }
}

/// Writes down every call. `ctr` has none that applies a single layer.
private struct RecordingApplier: LayerApplier {
  let base: any LayerApplier
  let record: Record

  func apply(_ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions) async throws -> Descriptor {
    let text = "Apply of \(layer.digest) as \(layer.mediaType) to \(mounts.map { "\($0.type) \($0.source) \($0.options.joined(separator: ","))" })"
    do {
      let applied = try await base.apply(layer, from: content, to: mounts, options: options)
      record.add(text, outcome: "\(applied.digest), \(applied.size) bytes")
      return applied
    } catch {
      record.add(text, outcome: "\(error)")
      throw error
    }
  }
}

private struct RecordingDiffer: LayerDiffer {
  let base: any LayerDiffer
  let record: Record

  func diff(from lower: [Mount], to upper: [Mount], into content: any ContentStore, options: DiffOptions) async throws -> Descriptor {
    let text = "Diff into \(options.mediaType.isEmpty ? "no media type in particular" : options.mediaType)"
    do {
      let made = try await base.diff(from: lower, to: upper, into: content, options: options)
      record.add(text, outcome: "\(made.digest), \(made.size) bytes")
      return made
    } catch {
      record.add(text, outcome: "\(error)")
      throw error
    }
  }
}
