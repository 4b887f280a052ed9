import CLinux
import ConformanceBoundarySuites
import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import Hashing
import ImagePull
import ImageUnpack
import InMemoryFakes
import LayerArchive
import LocalContentStore
import OverlaySnapshotter
import Protocols
import RegistryFetcher
import Synchronization
import SystemKit
import TestSupport

extension Target {
  /// `inproc:pipeline`: the puller and the unpacker of this package, as functions, between parts that the suite gives them.
  static func pipeline(_ address: String) -> Target {
    var target = Target(address: address, capabilities: geteuid() == 0 ? [.files, .inProcess] : [.inProcess])
    target[PipelineSubject.self] = { workspace in
      @Sendable func pull(_ reference: String, _ parts: PipelineParts) async throws -> PulledImage {
        try await ImagePuller(resolver: parts.registry, content: parts.content).pull(reference)
      }
      let parts = PipelinePartsMaker(workspace: workspace)
      return PipelineSubject(
        directory: workspace.directory, patience: workspace.patience, trees: parts.trees,
        fetch: { _ = try await pull($0, $1) },
        unpack: { reference, parts in
          let image = try await pull(reference, parts)
          _ = try await ImageUnpacker(
            content: parts.content, snapshotter: parts.snapshotter, snapshotterName: "overlayfs", applier: parts.applier, hash: { Digest.of($0) }
          ).unpack(config: image.config, layers: image.layers)
        },
        run: { snapshot, parts in try await PartsDaemon.run(snapshot, parts) },
        distantContent: { try await DistantContent.open(in: workspace) },
        note: { workspace.record.add($0) }
      ) { try parts.make($0) }
    }
    return target
  }
}

/// Makes the parts of a choice, each in a directory of its own.
struct PipelinePartsMaker: Sendable {
  let workspace: Workspace
  private let made = Made()

  init(workspace: Workspace) { self.workspace = workspace }

  var trees: any TreeAccess { MountingTrees(mountPoint: workspace.directory + "/mnt") }

  func make(_ order: PipelineOrder) throws -> PipelineParts {
    let place = "\(workspace.directory)/parts\(made.next())"
    let choice = order.choice
    let snapshots = try snapshotter(choice.snapshots, place)
    return PipelineParts(
      registry: registry(choice.registry, order), content: try content(choice.content, place), snapshotter: snapshots.snapshotter,
      applier: try applier(choice.applier, place), runtime: InMemoryRuntime(), snapshotRoot: snapshots.root)
  }

  private func registry(_ kind: PipelineChoice.Kind, _ order: PipelineOrder) -> any Resolver {
    if kind == .real {
      let resolver = RegistryResolver(
        configuration: RegistryResolver.Configuration(
          attempts: 4, firstPause: .milliseconds(20), idleTimeout: .milliseconds(Int(5000 * workspace.patience))))
      workspace.endings.add { try await resolver.close() }
      return resolver
    }
    let registry = InMemoryRegistry(chunk: 3000)
    for (descriptor, bytes) in order.image.blobs { registry.add(blob: bytes, mediaType: descriptor.mediaType) }
    registry.add(manifest: order.image.manifest.bytes, mediaType: order.image.manifest.descriptor.mediaType, as: order.reference)
    return registry
  }

  private func content(_ kind: PipelineChoice.Kind, _ place: String) throws -> any ContentStore {
    kind == .real ? try LocalContentStore(root: place + "/content") : InMemoryContentStore()
  }

  private func snapshotter(_ kind: PipelineChoice.Kind, _ place: String) throws -> (snapshotter: any Snapshotter, root: String?) {
    let root = place + "/snapshots"
    switch kind {
    case .fake: return (InMemorySnapshotter(), nil)
    case .plain: return (try CopyingSnapshotter(root: root), root)
    case .real: return (try OverlaySnapshotter(root: root), root)
    }
  }

  private func applier(_ kind: PipelineChoice.Kind, _ place: String) throws -> any LayerApplier {
    switch kind {
    case .fake: return PlainApplier(trees: nil)
    case .plain: return PlainApplier(trees: trees)
    case .real:
      try Files.makeDirectories(place + "/apply")
      return ArchiveApplier(mountPoint: place + "/apply")
    }
  }
}

/// How many sets of parts there are.
private final class Made: Sendable {
  private let count = Mutex(0)
  func next() -> Int {
    count.withLock { count in
      count += 1
      return count
    }
  }
}
