import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import Hashing
import InMemoryFakes
import LayerArchive
import Protocols
import SystemKit

/// The containerd that a lazy snapshotter is a plugin of, played by the suite: it has pulled the image of a registry.
struct PlayedContainerd: Sendable {
  let socket: String
  let content: any ContentStore
  let site: LazyRegistrySite
  private static let scope = Scope(namespace: "default")

  /// Serves until the case is over.
  static func start(_ site: LazyRegistrySite, in workspace: Workspace) async throws -> PlayedContainerd {
    let events = InMemoryEventExchange()
    let metadata = InMemoryMetadataStore(content: InMemoryContentStore(), snapshotters: ["overlayfs": InMemorySnapshotter()], events: events)
    let content = try metadata.content(in: scope)
    let source = ["containerd.io/distribution.source.127.0.0.1": LazyRegistrySite.repository]
    let (config, manifest) = LazyRegistrySite.documents(site.layers)
    var references = ["containerd.io/gc.ref.content.config": "\(Digest.of(config))"]
    for (number, layer) in site.layers.enumerated() { references["containerd.io/gc.ref.content.l.\(number)"] = "\(layer.blob.digest)" }
    try await add(config, source, to: content)
    try await add(manifest, source.merging(references) { $1 }, to: content)
    for bytes in site.blobs { try await add(bytes, source, to: content) }
    let target = Descriptor(mediaType: "application/vnd.oci.image.manifest.v1+json", digest: site.manifest, size: Int64(manifest.count))
    _ = try await metadata.images(in: scope).create(ImageRecord(name: site.name, target: target))
    let parts = DaemonParts(metadata: metadata, events: events, applier: InMemoryLayerApplier(), differ: InMemoryLayerDiffer())
    return PlayedContainerd(socket: try await parts.serve(in: workspace), content: content, site: site)
  }

  /// One that knows no image; its socket.
  static func empty(in workspace: Workspace) async throws -> String {
    let events = InMemoryEventExchange()
    let metadata = InMemoryMetadataStore(content: InMemoryContentStore(), snapshotters: ["overlayfs": InMemorySnapshotter()], events: events)
    return try await DaemonParts(metadata: metadata, events: events, applier: InMemoryLayerApplier(), differ: InMemoryLayerDiffer()).serve(in: workspace)
  }

  private static func add(_ bytes: [UInt8], _ labels: Labels, to content: any ContentStore) async throws {
    let digest = Digest.of(bytes)
    let writer = try await content.writer(ref: "\(digest)", expected: IngestExpectation(size: Int64(bytes.count), digest: digest))
    try await writer.write(bytes, at: 0)
    _ = try await writer.commit(IngestExpectation(size: Int64(bytes.count), digest: digest), labels: labels)
    await writer.close()
  }

  /// Pulls the image as if nobody knew it, and removes it again: afterwards its layers can be lazy.
  func acquaint(_ snapshotter: any Snapshotter, in workspace: Workspace) async throws {
    let mountPoint = workspace.directory + "/apply"
    try Files.makeDirectories(mountPoint)
    let applier = ArchiveApplier(mountPoint: mountPoint)
    var made: [String] = []
    for layer in site.layers {
      let key = "extract first \(layer.name)"
      let labels = self.labels(layer.name).merging(["containerd.io/snapshot.ref": layer.name]) { $1 }
      let mounts: [Mount]
      do { mounts = try await snapshotter.prepare(key, parent: made.last, labels: labels) } catch let error as ContainerdError
        where error.code == .alreadyExists
      {
        // It knows the layer without having seen it.
        made.append(layer.name)
        continue
      }
      _ = try await applier.apply(layer.blob, from: content, to: mounts, options: ApplyOptions(diffID: layer.diffID, sync: false))
      try await snapshotter.commit(layer.name, key: key, labels: labels)
      made.append(layer.name)
    }
    for name in made.reversed() { try await snapshotter.remove(name) }
    // What it has learned it may learn in the background.
    for attempt in 0..<200 {
      do {
        let labels = self.labels(site.layers[0].name).merging(["containerd.io/snapshot.ref": site.layers[0].name]) { $1 }
        _ = try await snapshotter.prepare("asking \(attempt)", parent: nil, labels: labels)
        try await snapshotter.remove("asking \(attempt)")
      } catch let error as ContainerdError where error.code == .alreadyExists {
        try await snapshotter.remove(site.layers[0].name)
        if try await knows(snapshotter) { return }
      }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw SuiteError("the snapshotter has unpacked the image once, and does not take its layers lazily 10 s later")
  }

  /// Whether the whole chain is taken.
  private func knows(_ snapshotter: any Snapshotter) async throws -> Bool {
    var (made, all): ([String], Bool) = ([], true)
    for layer in site.layers {
      let labels = self.labels(layer.name).merging(["containerd.io/snapshot.ref": layer.name]) { $1 }
      do {
        _ = try await snapshotter.prepare("asking", parent: made.last, labels: labels)
        try await snapshotter.remove("asking")
        all = false
        break
      } catch let error as ContainerdError where error.code == .alreadyExists { made.append(layer.name) }
    }
    for name in made.reversed() { try await snapshotter.remove(name) }
    return all
  }

  /// What the Kubernetes plugin of containerd tells a snapshotter of a layer, and clients that are made for stargz.
  func labels(_ layer: String) -> Labels {
    guard let place = site.layers.firstIndex(where: { $0.name == layer }) else { return [:] }
    let above = site.layers[place...].map { "\($0.blob.digest)" }.joined(separator: ",")
    return [
      "containerd.io/snapshot/cri.image-ref": site.name, "containerd.io/snapshot/cri.layer-digest": "\(site.layers[place].blob.digest)",
      "containerd.io/snapshot/cri.image-layers": above, "containerd.io/snapshot/cri.manifest-digest": "\(site.manifest)",
      "containerd.io/snapshot/remote/stargz.reference": site.name, "containerd.io/snapshot/remote/stargz.digest": "\(site.layers[place].blob.digest)",
      "containerd.io/snapshot/remote/stargz.layers": above,
    ]
  }
}
