import OCI
import Protocols

/// Unpacking: layers from a content store, through an applier, into a snapshotter. Knows no registry.
public struct ImageUnpacker: Sendable {
  private let content: any ContentStore
  private let snapshotter: any Snapshotter
  private let snapshotterName: String
  private let applier: any LayerApplier
  /// SHA-256 of bytes: ChainIDs are digests of text (image-spec, config.md, "Layer ChainID").
  private let hash: @Sendable ([UInt8]) -> Digest

  public init(
    content: any ContentStore, snapshotter: any Snapshotter, snapshotterName: String, applier: any LayerApplier,
    hash: @escaping @Sendable ([UInt8]) -> Digest
  ) {
    self.content = content
    self.snapshotter = snapshotter
    self.snapshotterName = snapshotterName
    self.applier = applier
    self.hash = hash
  }

  /// Makes a committed snapshot for every layer, bottom first, and returns the name of the top one (the ChainID).
  ///
  /// Layers whose snapshot exists are skipped; somebody else unpacking the same image at the same time is fine. A layer that fails leaves no snapshot.
  public func unpack(config: Descriptor, layers: [Descriptor], progress: @Sendable (Int, Int) -> Void = { _, _ in }) async throws -> String {
    let image = try ImageConfig(parsing: await bytes(of: config.digest))
    guard image.diffIDs.count == layers.count else {
      throw ContainerdError.invalidArgument("image config \(config.digest) names \(image.diffIDs.count) layers, the manifest \(layers.count)")
    }
    var parent: String?
    for (number, (layer, diffID)) in zip(layers, image.diffIDs).enumerated() {
      progress(number, layers.count)
      let chain = parent.map { hash(Array("\($0) \(diffID)".utf8)).description } ?? diffID.description
      if try await !exists(chain) { try await unpack(layer, diffID, chain, parent) }
      parent = chain
    }
    progress(layers.count, layers.count)
    guard let top = parent else { throw ContainerdError.invalidArgument("image config \(config.digest) names no layer") }
    let key = "containerd.io/gc.ref.snapshot.\(snapshotterName)"
    _ = try await content.update(ContentInfo(digest: config.digest, labels: [key: top]), fields: ["labels.\(key)"])
    return top
  }

  private func unpack(_ layer: Descriptor, _ diffID: Digest, _ chain: String, _ parent: String?) async throws {
    let key = "extract-\(Timestamp.now().nanoseconds)-\(String(UInt32.random(in: 0...UInt32.max), radix: 36)) \(chain)"
    let mounts: [Mount]
    do { mounts = try await snapshotter.prepare(key, parent: parent, labels: ["containerd.io/snapshot.ref": chain]) } catch let error as ContainerdError
      where error.code == .alreadyExists
    {
      // The snapshotter says that it has the layer without our help.
      if try await exists(chain) { return }
      throw error
    }
    do {
      let applied = try await applier.apply(layer, from: content, to: mounts, options: ApplyOptions(diffID: diffID, sync: true))
      guard applied.digest == diffID else {
        throw ContainerdError.failedPrecondition("layer \(layer.digest): uncompressed it is \(applied.digest), the image config says \(diffID)")
      }
      // Before the commit: a layer that is committed is not looked at again, and would never get its label.
      let uncompressed = "containerd.io/uncompressed"
      _ = try await content.update(ContentInfo(digest: layer.digest, labels: [uncompressed: diffID.description]), fields: ["labels.\(uncompressed)"])
      try await snapshotter.commit(chain, key: key, labels: [:])
    } catch {
      // Also when we have been cancelled: what is half unpacked must not stay.
      let removal = await Task { [snapshotter] in try await snapshotter.remove(key) }.result
      // Somebody else has unpacked the same layer meanwhile: theirs is as good.
      if let error = error as? ContainerdError, error.code == .alreadyExists, try await exists(chain) { return try removal.get() }
      if case .failure(let left) = removal, let error = error as? ContainerdError {
        throw ContainerdError(error.code, "\(error.message) (and snapshot \(key) stays: \(left))")
      }
      throw error
    }
  }

  private func exists(_ name: String) async throws -> Bool {
    do {
      _ = try await snapshotter.stat(name)
      return true
    } catch let error as ContainerdError where error.code == .notFound { return false }
  }

  private func bytes(of digest: Digest) async throws -> [UInt8] {
    let reader = try await content.reader(digest)
    do {
      if reader.size > ImageDocument.maximumSize { throw ContainerdError(.resourceExhausted, "image config \(digest): \(reader.size) bytes") }
      let bytes = try await reader.read(at: 0, count: Int(reader.size))
      await reader.close()
      return bytes
    } catch {
      await reader.close()
      throw error
    }
  }
}
