import OCI
import Protocols

/// Pulling: from a registry into a content store, and nothing else. No layer is looked into, no snapshotter is known.
public struct ImagePuller: Sendable {
  private let resolver: any Resolver
  private let content: any ContentStore
  private let platform: Platform
  private let parallelism: Int

  public init(resolver: any Resolver, content: any ContentStore, platform: Platform = .host, parallelism: Int = 3) {
    self.resolver = resolver
    self.content = content
    self.platform = platform
    self.parallelism = max(1, parallelism)
  }

  /// Fetches manifest, config and layers; what is there already is not fetched again, what is there in part is resumed.
  ///
  /// `progress` is called from several tasks at once.
  public func pull(_ reference: String, progress: @escaping @Sendable (PullProgress) -> Void = { _ in }) async throws -> PulledImage {
    let resolved = try await resolver.resolve(reference)
    let fetcher = try resolver.fetcher(for: reference)
    let image = try ImageReference(parsing: reference)
    let source = Source(fetcher: fetcher, image: image, progress: progress)

    var manifestDescriptor = resolved.target
    let root = try await document(manifestDescriptor, "manifest", source)
    var manifestBytes = root
    if MediaType.isIndex(manifestDescriptor.mediaType) {
      let index = try ImageIndex(parsing: root)
      guard let chosen = index.manifest(for: platform) else {
        throw ContainerdError.notFound("\(resolved.name): no manifest for platform \(platform.normalized)")
      }
      try await label(manifestDescriptor.digest, ["containerd.io/gc.ref.content.m.0": chosen.digest.description])
      manifestDescriptor = chosen
      manifestBytes = try await document(chosen, "manifest", source)
    }
    let manifest = try ImageManifest(parsing: manifestBytes)
    // References before the blobs: what is fetched is held from the moment it arrives.
    var references = ["containerd.io/gc.ref.content.config": manifest.config.digest.description]
    for (number, layer) in manifest.layers.enumerated() { references["containerd.io/gc.ref.content.l.\(number)"] = layer.digest.description }
    try await label(manifestDescriptor.digest, references)

    var seen: Set<Digest> = []
    let blobs = ([(manifest.config, "config")] + manifest.layers.map { ($0, "layer") }).filter { seen.insert($0.0.digest).inserted }
    try await withThrowingTaskGroup(of: Void.self) { group in
      var pending = blobs.makeIterator()
      func startNext() {
        if let (descriptor, kind) = pending.next() { group.addTask { try await self.fetch(descriptor, kind, source) } }
      }
      for _ in 0..<parallelism { startNext() }
      while try await group.next() != nil { startNext() }
    }
    return PulledImage(
      name: resolved.name, target: resolved.target, manifest: manifestDescriptor, config: manifest.config, layers: manifest.layers)
  }

  private struct Source: Sendable {
    let fetcher: any Fetcher
    let image: ImageReference
    let progress: @Sendable (PullProgress) -> Void
  }

  /// A manifest or index: fetched, and its bytes.
  private func document(_ descriptor: Descriptor, _ kind: String, _ source: Source) async throws -> [UInt8] {
    if descriptor.size > ImageDocument.maximumSize {
      throw ContainerdError(.resourceExhausted, "\(descriptor.digest): a manifest of \(descriptor.size) bytes")
    }
    try await fetch(descriptor, kind, source)
    return try await content.readAll(descriptor.digest)
  }

  private func fetch(_ descriptor: Descriptor, _ kind: String, _ source: Source) async throws {
    let ref = "\(kind)-\(descriptor.digest)"
    func report(_ offset: Int64, _ state: PullProgress.State) {
      source.progress(PullProgress(ref: ref, offset: offset, total: descriptor.size, state: state))
    }
    do {
      let writer = try await content.writer(ref: ref, expected: IngestExpectation(size: descriptor.size, digest: descriptor.digest))
      do {
        var offset = try await writer.status().offset
        report(offset, .downloading)
        if offset < descriptor.size {
          let stream = try await source.fetcher.fetch(descriptor, from: offset)
          while let bytes = try await stream.next() {
            try Task.checkCancellation()
            try await writer.write(bytes, at: offset)
            offset += Int64(bytes.count)
            report(offset, .downloading)
          }
        }
        do {
          _ = try await writer.commit(IngestExpectation(size: descriptor.size, digest: descriptor.digest), labels: [:])
        } catch let error as ContainerdError where error.code == .failedPrecondition {
          // What has been downloaded is not the blob: resuming from it would fail for ever.
          do { try await content.abort(ref: ref) } catch let absent as ContainerdError where absent.code == .notFound {}
          throw error
        }
        await writer.close()
        report(descriptor.size, .done)
      } catch {
        await writer.close()
        throw error
      }
    } catch let error as ContainerdError where error.code == .alreadyExists {
      report(descriptor.size, .exists)
    }
    try await label(descriptor.digest, ["containerd.io/distribution.source.\(hostLabel(source.image.registry))": source.image.repository])
  }

  /// containerd leaves the port out of the label.
  private func hostLabel(_ registry: String) -> String { registry.split(separator: ":").first.map(String.init) ?? registry }

  private func label(_ digest: Digest, _ labels: Labels) async throws {
    _ = try await content.update(ContentInfo(digest: digest, labels: labels), fields: FieldMask(labels.keys.sorted().map { "labels.\($0)" }))
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

extension ContentProvider {
  /// A small blob whole.
  public func readAll(_ digest: Digest, limit: Int64 = ImageDocument.maximumSize) async throws -> [UInt8] {
    let reader = try await reader(digest)
    if reader.size > limit {
      await reader.close()
      throw ContainerdError(.resourceExhausted, "content \(digest): \(reader.size) bytes are more than \(limit)")
    }
    var bytes: [UInt8] = []
    while Int64(bytes.count) < reader.size {
      let chunk = try await reader.read(at: Int64(bytes.count), count: Int(reader.size) - bytes.count)
      if chunk.isEmpty { break }
      bytes += chunk
    }
    await reader.close()
    return bytes
  }
}
