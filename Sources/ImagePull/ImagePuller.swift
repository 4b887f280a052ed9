import OCI
import Protocols

/// Pulling: from a registry into a content store, and nothing else. No layer is looked into, no snapshotter is known.
public struct ImagePuller: Sendable {
  private let resolver: any Resolver
  private let content: any ContentStore
  private let platform: Platform
  private let parallelism: Int
  private let lockPatience: Duration

  /// `parallelism` blobs are fetched at a time. `lockPatience` is how long another download of the same blob may stand still before it is an error.
  public init(
    resolver: any Resolver, content: any ContentStore, platform: Platform = .host, parallelism: Int = 3, lockPatience: Duration = .seconds(30)
  ) {
    self.resolver = resolver
    self.content = content
    self.platform = platform
    self.parallelism = max(1, parallelism)
    self.lockPatience = lockPatience
  }

  /// Fetches manifest, config and layers; what is there already is not fetched again, what is there in part is resumed.
  ///
  /// Every reference is labelled before what it refers to is fetched, so that a collector never finds a blob that nobody holds.
  /// Blobs that nobody needs may be left where they are: the references stay, and a collector finds nothing at their end.
  ///
  /// - Parameters:
  ///   - progress: called from several tasks at once.
  ///   - layersHad: asked once, when manifest and config are there, how many layers, from the lowest, are to be had without their blobs. Without it the
  ///     config is fetched beside the layers.
  public func pull(
    _ reference: String, progress: @escaping @Sendable (PullProgress) -> Void = { _ in }, layersHad: (@Sendable (PulledImage) async throws -> Int)? = nil
  ) async throws -> PulledImage {
    let image = try ImageReference(parsing: reference)
    let resolved = try await resolver.resolve(reference)
    let fetch = BlobFetch(fetcher: try resolver.fetcher(for: reference), content: content, image: image, lockPatience: lockPatience, progress: progress)

    let (descriptor, bytes) = try await manifest(of: resolved, fetch)
    let manifest = try ImageManifest(parsing: bytes)
    var references = ["containerd.io/gc.ref.content.config": manifest.config.digest.description]
    for (number, layer) in manifest.layers.enumerated() { references["containerd.io/gc.ref.content.l.\(number)"] = layer.digest.description }
    try await content.label(descriptor.digest, references)

    let pulled = PulledImage(name: resolved.name, target: resolved.target, manifest: descriptor, config: manifest.config, layers: manifest.layers)
    // A layer that the image has twice is one blob.
    var seen: Set<Digest> = []
    var wanted = [(manifest.config, "config")] + manifest.layers.map { ($0, "layer") }
    if let layersHad {
      try await fetch(manifest.config, "config")
      seen.insert(manifest.config.digest)
      wanted.removeFirst(1 + min(max(0, try await layersHad(pulled)), manifest.layers.count))
    }
    let blobs = wanted.filter { seen.insert($0.0.digest).inserted }
    try await withThrowingTaskGroup(of: Void.self) { group in
      var pending = blobs.makeIterator()
      func startNext() {
        if let (descriptor, kind) = pending.next() { group.addTask { try await fetch(descriptor, kind) } }
      }
      for _ in 0..<parallelism { startNext() }
      while try await group.next() != nil { startNext() }
    }
    return pulled
  }

  /// The way from the name to the manifest for this platform, through an index or two.
  private func manifest(of image: ResolvedImage, _ fetch: BlobFetch) async throws -> (Descriptor, [UInt8]) {
    var descriptor = image.target
    for _ in 0..<4 {
      let bytes = try await document(descriptor, fetch)
      guard MediaType.isIndex(descriptor.mediaType) else { return (descriptor, bytes) }
      guard let chosen = try ImageIndex(parsing: bytes).manifest(for: platform) else {
        throw ContainerdError.notFound("\(image.name): no manifest for platform \(platform.normalized)")
      }
      try await content.label(descriptor.digest, ["containerd.io/gc.ref.content.m.0": chosen.digest.description])
      descriptor = chosen
    }
    throw ContainerdError.invalidArgument("\(image.name): index in index in index, more than 3 deep")
  }

  /// A manifest or index: fetched, and its bytes.
  private func document(_ descriptor: Descriptor, _ fetch: BlobFetch) async throws -> [UInt8] {
    guard MediaType.isIndex(descriptor.mediaType) || MediaType.isManifest(descriptor.mediaType) else {
      throw ContainerdError.notImplemented("manifest \(descriptor.digest): media type \"\(descriptor.mediaType)\"")
    }
    if descriptor.size > ImageDocument.maximumSize {
      throw ContainerdError(.resourceExhausted, "manifest \(descriptor.digest): \(descriptor.size) bytes are more than \(ImageDocument.maximumSize)")
    }
    try await fetch(descriptor, MediaType.isIndex(descriptor.mediaType) ? "index" : "manifest")
    return try await content.readAll(descriptor.digest)
  }
}

public struct PulledImage: Hashable, Sendable {
  public var name: String
  public var target: Descriptor
  /// The manifest for this platform: the target itself, or one that the index names.
  public var manifest: Descriptor
  public var config: Descriptor
  public var layers: [Descriptor]
}

public struct PullProgress: Hashable, Sendable {
  public enum State: Sendable { case downloading, exists, done }
  public var ref: String
  public var offset: Int64
  public var total: Int64
  public var state: State
}
