import BlockingIO
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import EmbeddedRegistry
import Hashing
import LayerIndex
import Protocols
import RegistryFetcher
import SystemKit

/// `LazyImage.standard` in a registry on loopback, and indexes of its layers beside it.
struct LazyRegistrySite: Sendable {
  struct Layer: Sendable {
    /// The ChainID of the layer and those below it.
    var name: String
    var blob: Descriptor
    var diffID: Digest
    /// The index of the blob, a blob as well.
    var index: Descriptor
  }
  static let repository = "lazy/image"
  let registry: EmbeddedRegistry
  let layers: [Layer]
  /// The layers as they lie there.
  let blobs: [[UInt8]]
  /// With a tag.
  var name: String { "\(registry.address)/\(Self.repository):1" }
  var reference: String { "\(registry.address)/\(Self.repository)@\(manifest)" }
  let manifest: Digest
  /// What the registry wants to be shown.
  static let (user, password) = ("reader", "a-password-that-nobody-may-see")

  /// Serves until the case is over.
  /// - Parameter secured: whether it wants credentials.
  static func start(in workspace: Workspace, below place: String? = nil, secured: Bool) async throws -> LazyRegistrySite {
    let place = place ?? workspace.directory
    let directory = place + "/registry"
    let bearer = RegistryAuthentication.Bearer(users: [user: password], allowsAnonymous: !secured)
    let registry = try await EmbeddedRegistry(.init(root: directory, authentication: .bearer(bearer)))
    let serving = Task { try await registry.run() }
    workspace.endings.add {
      serving.cancel()
      _ = await serving.result
    }
    let packed = try await DedicatedThread.run { try Self.packed(in: place) }
    var layers: [Layer] = []
    var chain = ""
    for (bytes, index, encoded) in packed {
      guard let diffID = index.diffID else { throw SuiteError("the index of a layer does not say what the layer is unpacked") }
      chain = chain.isEmpty ? "\(diffID)" : "\(Digest.of(Array("\(chain) \(diffID)".utf8)))"
      let blob = Descriptor(mediaType: mediaType, digest: try await registry.add(blob: bytes, to: repository), size: Int64(bytes.count))
      let table = Descriptor(
        mediaType: IndexFile.mediaType, digest: try await registry.add(blob: encoded, to: repository), size: Int64(encoded.count))
      layers.append(Layer(name: chain, blob: blob, diffID: diffID, index: table))
    }
    let (config, manifest) = documents(layers)
    _ = try await registry.add(blob: config, to: repository)
    let digest = try await registry.add(manifest: manifest, mediaType: "application/vnd.oci.image.manifest.v1+json", to: repository, tag: "1")
    return LazyRegistrySite(registry: registry, layers: layers, blobs: packed.map { $0.0 }, manifest: digest)
  }

  private init(registry: EmbeddedRegistry, layers: [Layer], blobs: [[UInt8]], manifest: Digest) {
    self.registry = registry
    self.layers = layers
    self.blobs = blobs
    self.manifest = manifest
  }

  static let mediaType = "application/vnd.oci.image.layer.v1.tar+gzip"

  /// Each layer's blob and its index. Blocking.
  private static func packed(in directory: String) throws -> [([UInt8], LayerIndex, [UInt8])] {
    try LazyImage.standard.layers.map { archive in
      let bytes = try LazyImage.gzip(archive, in: directory)
      let index = try LayerIndex.build(from: Whole(bytes), mediaType: mediaType)
      return (bytes, index, try IndexFile.encode(index))
    }
  }

  /// The image's config and manifest.
  static func documents(_ layers: [Layer]) -> (config: [UInt8], manifest: [UInt8]) {
    func json(_ type: String, _ digest: Digest, _ size: Int64) -> String { #"{"mediaType":"\#(type)","digest":"\#(digest)","size":\#(size)}"# }
    let diffIDs = layers.map { "\"\($0.diffID)\"" }.joined(separator: ",")
    let config = Array(#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[\#(diffIDs)]}}"#.utf8)
    let blobs = layers.map { json($0.blob.mediaType, $0.blob.digest, $0.blob.size) }.joined(separator: ",")
    let manifest =
      #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":"#
      + json("application/vnd.oci.image.config.v1+json", Digest.of(config), Int64(config.count)) + #","layers":[\#(blobs)]}"#
    return (config, Array(manifest.utf8))
  }

  /// A blob in memory.
  private final class Whole: BlobBytes {
    private var bytes: [UInt8]?
    private let memory: UnsafeMutableRawBufferPointer
    init(_ bytes: [UInt8]) {
      self.bytes = bytes
      memory = .allocate(byteCount: max(1, bytes.count), alignment: 16)
    }
    deinit { memory.deallocate() }
    func next() throws -> UnsafeRawBufferPointer? {
      guard let bytes, !bytes.isEmpty else { return nil }
      self.bytes = nil
      memory.copyBytes(from: bytes)
      return UnsafeRawBufferPointer(rebasing: memory[0..<bytes.count])
    }
  }
}

extension LazyRegistrySite {
  /// A client of it that does not wait long.
  func resolver(in workspace: Workspace) -> RegistryResolver {
    let credentials = [registry.address: RegistryResolver.Credentials(user: Self.user, password: Self.password)]
    let resolver = RegistryResolver(
      configuration: .init(
        credentials: credentials, attempts: 2, firstPause: .milliseconds(20), connectTimeout: .seconds(2), idleTimeout: .seconds(2)))
    workspace.endings.add { try await resolver.close() }
    return resolver
  }

  /// In the hands of a case.
  var hands: LazyRegistry {
    let (registry, layers) = (registry, layers)
    return LazyRegistry(sizes: layers.map(\.blob.size)) { trouble in
      registry.faults.clear()
      switch trouble {
      case nil: break
      case .away: registry.faults.goAway()
      default: for layer in layers { Self.add(trouble, to: layer.blob, registry.faults) }
      }
    } traffic: {
      let records = layers.flatMap { registry.log.records(endingIn: $0.blob.digest.description, method: "GET") }.filter { $0.status != 401 }
      return LazyRegistry.Traffic(requests: records.count, bytes: records.reduce(0) { $0 + $1.bytesSent })
    } expire: {
      registry.revokeTokens()
    } limit: {
      registry.faults.limit(bytesPerSecond: $0)
    }
  }

  private static func add(_ trouble: LazyRegistry.Trouble?, to blob: Descriptor, _ faults: RegistryFaults) {
    let target = RegistryFaults.Target.path(blob.digest.description)
    switch trouble {
    case .wrongBytes: for place in stride(from: Int64(0), to: blob.size, by: 32 << 10) { faults.add(.corruptBlob(at: place), to: target) }
    case .shortened: faults.add(.truncate(to: 1000), to: target)
    case .brokenOff: faults.add(.cut(afterBytes: 1000), to: target, times: 2)
    case .refused: faults.add(.status(416), to: target)
    case .away, nil: break
    }
  }
}
