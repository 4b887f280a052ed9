import BlockingIO
import Hashing
import LayerIndex
import OCI
import Protocols

/// Brings the indexes of an image's layers into a registry, as one artifact that refers to the image.
public struct IndexPublisher: Sendable {
  /// One layer, as it comes to pass.
  public enum Step: Sendable, Hashable {
    /// Bytes of the layer that have been read, of all.
    case reading(Digest, Int64, of: Int64)
    case has(Layer)
    case left(Skipped)
  }

  public struct Layer: Sendable, Hashable, Encodable {
    public var layer: String
    public var layerSize: Int64
    public var index: String
    public var indexSize: Int64
    public var spans: Int
    /// Whether it was read just now: it was there before otherwise.
    public var isBuilt: Bool
    /// Spans of which is told that they were needed first; nil without such a list.
    public var recorded: Int?
  }

  /// A layer of which no index is of use.
  public struct Skipped: Sendable, Hashable, Encodable {
    public var layer: String
    public var reason: String
  }

  public struct Published: Sendable, Hashable, Encodable {
    public var repository: String
    /// The artifact's manifest.
    public var artifact: String
    /// The image's.
    public var subject: String
    public var layers: [Layer]
    public var skipped: [Skipped]
    /// Bytes that the registry did not have.
    public var pushed: Int64
  }

  private let resolver: any Resolver
  private let shelf: IndexShelf?
  private let pool = BlockingPool(label: "indexes", width: 1)

  /// - Parameter indexes: a snapshotter's directory of indexes; what is there of a layer is not built again.
  public init(resolver: any Resolver, indexes: String? = nil) {
    self.resolver = resolver
    shelf = indexes.map { IndexShelf(root: $0) }
  }

  /// - Parameters:
  ///   - reference: the image; of an index of several, the manifest for the platform.
  ///   - pusher: for the repository that the artifact belongs into.
  /// - Throws: as resolver, fetcher and pusher; `dataLoss` for a layer that is not what the image names, `failedPrecondition` if no layer can be read lazily.
  public func publish(
    _ reference: String, platform: Platform = .host, to repository: String, by pusher: any Pusher, _ told: @escaping @Sendable (Step) -> Void = { _ in }
  ) async throws -> Published {
    let image = try await image(reference, platform)
    var published = Published(repository: repository, artifact: "", subject: "\(image.manifest.digest)", layers: [], skipped: [], pushed: 0)
    var indexes: [(layer: Digest, index: Descriptor)] = []
    var accesses: [(layer: Digest, list: Descriptor)] = []
    for (layer, diffID) in zip(image.layers, image.diffIDs) where !indexes.contains(where: { $0.layer == layer.digest }) {
      let made: (index: LayerIndex, bytes: [UInt8], isBuilt: Bool)
      do {
        made = try await index(of: layer, diffID, reference, told)
        if !made.index.isSeekable { throw ContainerdError.notImplemented("it can only be unpacked whole") }
      } catch let error as ContainerdError where error.code == .notImplemented {
        let skipped = Skipped(layer: "\(layer.digest)", reason: error.message)
        published.skipped.append(skipped)
        told(.left(skipped))
        continue
      }
      let descriptor = Descriptor(mediaType: IndexFile.mediaType, digest: Digest.of(made.bytes), size: Int64(made.bytes.count))
      if try await pusher.push(descriptor, bytes: made.bytes) { published.pushed += descriptor.size }
      indexes.append((layer.digest, descriptor))
      let list = try await list(of: made.index)
      if let list {
        let descriptor = Descriptor(mediaType: AccessList.mediaType, digest: Digest.of(list.bytes), size: Int64(list.bytes.count))
        if try await pusher.push(descriptor, bytes: list.bytes) { published.pushed += descriptor.size }
        accesses.append((layer.digest, descriptor))
      }
      let row = Layer(
        layer: "\(layer.digest)", layerSize: layer.size, index: "\(descriptor.digest)", indexSize: descriptor.size, spans: made.index.spans.count,
        isBuilt: made.isBuilt, recorded: list?.spans)
      published.layers.append(row)
      told(.has(row))
    }
    if indexes.isEmpty {
      throw ContainerdError.failedPrecondition("image \(reference): none of its layers can be read lazily, there is nothing to push")
    }
    if try await pusher.push(IndexArtifact.emptyDescriptor, bytes: IndexArtifact.emptyConfig) { published.pushed += IndexArtifact.emptyDescriptor.size }
    let manifest = try IndexArtifact.manifest(subject: image.manifest, indexes, accesses: accesses)
    published.artifact = "\(try await pusher.push(manifest: manifest, mediaType: MediaType.ociManifest, tag: nil).digest)"
    return published
  }

  /// What refers to the image and holds indexes, and the image itself.
  public func listing(
    _ reference: String, platform: Platform = .host, in repository: String? = nil, by referred: ReferredIndexes
  ) async throws -> (image: KnownImage, ReferredIndexes.Listing) {
    let image = try await image(reference, platform)
    return (image, await referred.listing(of: image, in: repository ?? image.repository))
  }

  // MARK: parts

  private func image(_ reference: String, _ platform: Platform) async throws -> KnownImage {
    let name = try ImageReference(parsing: reference)
    let resolved = try await resolver.resolve(reference)
    let fetcher = try resolver.fetcher(for: reference)
    func document(_ descriptor: Descriptor) async throws -> [UInt8] {
      if descriptor.size > ImageDocument.maximumSize { throw ContainerdError.invalidArgument("\(descriptor.digest): \(descriptor.size) bytes for a document") }
      let bytes = try await fetcher.read(descriptor, 0..<descriptor.size)
      if Digest.of(bytes, descriptor.digest.algorithm) != descriptor.digest { throw ContainerdError(.dataLoss, "\(descriptor.digest): its bytes are others") }
      return bytes
    }
    var manifest = resolved.target
    if MediaType.isIndex(manifest.mediaType) {
      guard let chosen = try ImageIndex(parsing: try await document(manifest)).manifest(for: platform) else {
        throw ContainerdError.notFound("image \(reference): a manifest for \(platform.normalized)")
      }
      manifest = Descriptor(mediaType: chosen.mediaType, digest: chosen.digest, size: chosen.size)
    }
    let bytes = try await document(manifest)
    let layers = try ImageManifest(parsing: bytes)
    let config = try ImageConfig(parsing: try await document(layers.config))
    if config.diffIDs.count != layers.layers.count {
      throw ContainerdError.invalidArgument("image \(reference): \(layers.layers.count) layers, and \(config.diffIDs.count) in its config")
    }
    return KnownImage(
      reference: "\(name.registry)/\(name.repository)@\(manifest.digest)", manifest: manifest, layers: layers.layers, diffIDs: config.diffIDs,
      annotations: try LayerAnnotations.read(bytes), named: try LayerAnnotations.artifact(of: bytes))
  }

  /// What a snapshotter here has written down of the layer, if it fits this index.
  private func list(of index: LayerIndex) async throws -> (bytes: [UInt8], spans: Int)? {
    guard let shelf else { return nil }
    return try await pool.run {
      guard let bytes = try shelf.readAccesses(index.blob) else { return nil }
      do { return (bytes, try AccessList(decoding: bytes, of: AccessList.Table(index)).spans.count) } catch { return nil }
    }
  }

  private func index(
    of layer: Descriptor, _ diffID: Digest, _ reference: String, _ told: @escaping @Sendable (Step) -> Void
  ) async throws -> (LayerIndex, [UInt8], isBuilt: Bool) {
    if let shelf, let known = try await pool.run({ try shelf.read(layer.digest) }), known.index.size == layer.size, known.index.diffID == diffID {
      return (known.index, known.bytes, false)
    }
    _ = try LayerIndex.Packing(mediaType: layer.mediaType)
    told(.reading(layer.digest, 0, of: layer.size))
    let stream = try await resolver.fetcher(for: reference).fetch(layer, from: 0)
    let (index, bytes): (LayerIndex, [UInt8])
    do {
      (index, bytes) = try await IndexMaker.make(layer, from: CountedStream(stream) { told(.reading(layer.digest, $0, of: layer.size)) })
    } catch let error as ContainerdError where !error.message.contains(layer.digest.hex) {
      throw ContainerdError(error.code, "layer \(layer.digest): \(error.message)")
    }
    if index.diffID != diffID {
      throw ContainerdError(
        .dataLoss, "layer \(layer.digest): unpacked it has the digest \(index.diffID.map(\.description) ?? "none"), the image's config says \(diffID)")
    }
    return (index, bytes, true)
  }

  private actor CountedStream: ByteStream {
    private let base: any ByteStream
    private let count: @Sendable (Int64) -> Void
    private var done: Int64 = 0

    init(_ base: any ByteStream, _ count: @escaping @Sendable (Int64) -> Void) {
      self.base = base
      self.count = count
    }

    func next() async throws -> [UInt8]? {
      guard let bytes = try await base.next() else { return nil }
      done += Int64(bytes.count)
      count(done)
      return bytes
    }

    func cancel() async { await base.cancel() }
  }
}
