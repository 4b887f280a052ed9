import ConformanceSuites
import Hashing
import ImagePull
import ImageUnpack
import InMemoryFakes
import LayerArchive
import LocalContentStore
import OverlaySnapshotter
import Protocols
import SystemKit
import TestSupport

/// A registry with one image, and everything that a pull and a run need, writing into one trace.
struct Scene: Sendable {
  /// Which implementations stand in the places. The registry and the runtime are the fakes in all.
  enum Backends: String, CaseIterable, Sendable, CustomStringConvertible {
    case fakes = "fakes everywhere"
    case realContent = "a real content store"
    case realTrees = "a real snapshotter and applier"
    case real = "everything real"

    var description: String { rawValue }
    var hasRealContent: Bool { self == .realContent || self == .real }
    var hasRealTrees: Bool { self == .realTrees || self == .real }
    static var allowed: [Backends] { allCases.filter { Needs.root || !$0.hasRealTrees } }
  }

  static let name = "registry.test/some/image:1"
  static let gzip = "application/vnd.oci.image.layer.v1.tar+gzip"

  let trace = CallTrace()
  let faults = FaultPlan()
  let scratch = ScratchDirectory("boundary")
  let registry: InMemoryRegistry
  let content: any ContentStore
  let snapshotter: any Snapshotter
  let applier: any LayerApplier
  let runtime: InMemoryRuntime
  let config: Descriptor
  let layers: [Descriptor]
  let manifest: Descriptor

  init(_ backends: Backends, layerCount: Int = 3) throws {
    registry = InMemoryRegistry(trace: trace, faults: faults, chunk: 300)
    runtime = InMemoryRuntime(trace: trace)
    content =
      backends.hasRealContent
      ? TracedContentStore(try LocalContentStore(root: scratch.path + "/content"), trace: trace) : InMemoryContentStore(trace: trace, faults: faults)
    if backends.hasRealTrees {
      snapshotter = TracedSnapshotter(try OverlaySnapshotter(root: scratch.path + "/snapshots"), trace: trace)
      try Files.makeDirectories(scratch.path + "/apply")
      applier = TracedLayerApplier(ArchiveApplier(mountPoint: scratch.path + "/apply"), trace: trace)
    } else {
      snapshotter = InMemorySnapshotter(trace: trace, faults: faults)
      applier = InMemoryLayerApplier(trace: trace, faults: faults)
    }

    var layers: [Descriptor] = []
    var diffIDs: [Digest] = []
    for number in 0..<layerCount {
      let archive = TarArchive.make { tar in
        tar.file("file \(number)", String(repeating: "layer \(number) ", count: 100))
        if number > 0 { tar.whiteout("file \(number - 1)") }
      }
      let layer = registry.add(blob: try Self.compressed(archive, in: scratch), mediaType: Self.gzip)
      layers.append(layer)
      // What the fake applier says a compressed layer is uncompressed, is made up.
      diffIDs.append(backends.hasRealTrees ? Digest.of(archive) : InMemoryLayerApplier.uncompressedDigest(of: layer.digest, mediaType: Self.gzip))
    }
    let list = diffIDs.map { "\"\($0)\"" }.joined(separator: ",")
    config = registry.add(
      blob: Array(#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[\#(list)]}}"#.utf8),
      mediaType: "application/vnd.oci.image.config.v1+json")
    func json(_ descriptor: Descriptor) -> String {
      #"{"mediaType":"\#(descriptor.mediaType)","digest":"\#(descriptor.digest)","size":\#(descriptor.size)}"#
    }
    let mediaType = "application/vnd.oci.image.manifest.v1+json"
    let text = #"{"schemaVersion":2,"mediaType":"\#(mediaType)","config":\#(json(config)),"layers":[\#(layers.map(json).joined(separator: ","))]}"#
    manifest = registry.add(manifest: Array(text.utf8), mediaType: mediaType, as: Self.name)
    self.layers = layers
  }

  private static func compressed(_ bytes: [UInt8], in scratch: ScratchDirectory) throws -> [UInt8] {
    let path = scratch.path + "/layer.tar"
    try Files.writeAtomically(bytes, to: path)
    let (status, output) = try run(["gzip", "-nkf", path])
    if status != 0 { throw ContainerdError(.unknown, "gzip: \(output)") }
    return try Files.read(path + ".gz")
  }

  // MARK: the three acts

  func pull() async throws -> PulledImage { try await ImagePuller(resolver: registry, content: content).pull(Self.name) }

  func unpack(_ image: PulledImage) async throws -> String {
    try await ImageUnpacker(content: content, snapshotter: snapshotter, snapshotterName: "overlayfs", applier: applier) { Digest.of($0) }
      .unpack(config: image.config, layers: image.layers)
  }

  func create(_ id: String, rootfs: [Mount]) async throws -> any ContainerTask {
    let spec = TypedValue(typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: Array("{}".utf8))
    return try await runtime.create(TaskCreation(namespace: "default", id: id, spec: spec, rootfs: rootfs))
  }

  /// What was called during the body.
  func calls<Value>(_ body: () async throws -> Value) async throws -> (value: Value, calls: [CallTrace.Call]) {
    trace.clear()
    let value = try await body()
    return (value, trace.calls)
  }
}
