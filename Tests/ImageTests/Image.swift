import Hashing
import ImagePull
import ImageUnpack
import InMemoryFakes
import OCI
import Protocols
import Testing

/// An image in a fake registry, and the fakes that take it in: one trace and one plan of faults for all of them.
struct Image: Sendable {
  static let reference = "registry.test/app:1"

  let trace = CallTrace()
  let faults = FaultPlan()
  let registry: InMemoryRegistry
  let content: InMemoryContentStore
  let snapshotter: InMemorySnapshotter
  let applier: InMemoryLayerApplier
  let manifest: Descriptor
  let config: Descriptor
  let layers: [Descriptor]

  /// Every number is a layer, and the same number the same layer.
  init(_ layers: [UInt8] = [1, 2, 3], size: Int = 1000, diffIDs: [Digest]? = nil) {
    let registry = InMemoryRegistry(trace: trace, faults: faults, chunk: 100)
    let type = "application/vnd.oci.image.layer.v1.tar"
    let descriptors = layers.map { registry.add(blob: [UInt8](repeating: $0, count: size), mediaType: type) }
    let ids = (diffIDs ?? descriptors.map(\.digest)).map { "\"\($0)\"" }.joined(separator: ",")
    let config = registry.add(blob: Array("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\(ids)]}}".utf8), mediaType: MediaType.ociConfig)
    func entry(_ descriptor: Descriptor) -> String {
      "{\"mediaType\":\"\(descriptor.mediaType)\",\"digest\":\"\(descriptor.digest)\",\"size\":\(descriptor.size)}"
    }
    let entries = descriptors.map(entry).joined(separator: ",")
    manifest = registry.add(
      manifest: Array("{\"schemaVersion\":2,\"config\":\(entry(config)),\"layers\":[\(entries)]}".utf8), mediaType: MediaType.ociManifest, as: Self.reference)
    self.registry = registry
    self.config = config
    self.layers = descriptors
    content = InMemoryContentStore(trace: trace, faults: faults)
    snapshotter = InMemorySnapshotter(trace: trace, faults: faults)
    applier = InMemoryLayerApplier(trace: trace, faults: faults)
  }

  var puller: ImagePuller { ImagePuller(resolver: registry, content: content, lockPatience: .milliseconds(200)) }
  var unpacker: ImageUnpacker {
    ImageUnpacker(content: content, snapshotter: snapshotter, snapshotterName: "fake", applier: applier, hash: { Digest.of($0) })
  }

  @discardableResult
  func pull() async throws -> PulledImage { try await puller.pull(Self.reference) }
  @discardableResult
  func unpack() async throws -> String { try await unpacker.unpack(config: config, layers: layers) }

  var everything: Set<Digest> { Set([manifest.digest, config.digest] + layers.map(\.digest)) }

  /// The names of the layers' snapshots, bottom first (image-spec, config.md, "Layer ChainID").
  var chain: [String] {
    var names: [String] = []
    for layer in layers { names.append(names.last.map { Digest.of(Array("\($0) \(layer.digest)".utf8)).description } ?? layer.digest.description) }
    return names
  }

  func snapshots() async throws -> [String: SnapshotInfo] {
    let found = Collected()
    try await snapshotter.walk(.all) { await found.add($0) }
    return await found.byName
  }
}

private actor Collected {
  var byName: [String: SnapshotInfo] = [:]
  func add(_ info: SnapshotInfo) { byName[info.name] = info }
}

func failure(_ body: () async throws -> some Any) async throws -> ContainerdError {
  try #require(await #expect(throws: ContainerdError.self) { _ = try await body() })
}
