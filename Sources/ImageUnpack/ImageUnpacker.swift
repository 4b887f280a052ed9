import OCI
import Protocols

/// Unpacking: layers from a content store, through an applier, into a snapshotter. Knows no registry.
public struct ImageUnpacker: Sendable {
  let content: any ContentStore
  let snapshotter: any Snapshotter
  private let snapshotterName: String
  private let applier: any LayerApplier
  /// SHA-256 of bytes: ChainIDs are digests of text (image-spec, config.md, "Layer ChainID").
  private let hash: @Sendable ([UInt8]) -> Digest
  private let labels: Labels

  /// - Parameter labels: what the snapshotter is told of the image, with every layer; it may be what makes the snapshotter provide layers itself.
  public init(
    content: any ContentStore, snapshotter: any Snapshotter, snapshotterName: String, applier: any LayerApplier,
    hash: @escaping @Sendable ([UInt8]) -> Digest, labels: Labels = [:]
  ) {
    self.content = content
    self.snapshotter = snapshotter
    self.snapshotterName = snapshotterName
    self.applier = applier
    self.hash = hash
    self.labels = labels
  }

  /// Makes a committed snapshot for every layer, bottom first, and returns the name of the top one (the ChainID).
  ///
  /// Layers whose snapshot exists are skipped, and need no blob; somebody else unpacking the same image at the same time is fine. A layer that fails
  /// leaves no snapshot. `progress` is told of the layers that were not there at the beginning.
  public func unpack(
    config: Descriptor, layers: [Descriptor], after beginning: Beginning? = nil, progress: @Sendable (Int, Int) -> Void = { _, _ in }
  ) async throws -> String {
    var beginning = beginning
    for _ in 0..<3 {
      let top = try await make(config, layers, after: beginning, progress)
      // What was there before us nobody had to keep until the label that `make` ends with; from there on it stays.
      if try await exists(top) { return top }
      beginning = nil
    }
    throw ContainerdError.unavailable("the layers of image config \(config.digest) were removed three times while they were unpacked")
  }

  private func make(
    _ config: Descriptor, _ layers: [Descriptor], after beginning: Beginning?, _ progress: @Sendable (Int, Int) -> Void
  ) async throws -> String {
    var prepared = beginning?.prepared
    let present = beginning?.present ?? 0
    do {
      let image = try ImageConfig(parsing: await bytes(of: config.digest))
      guard image.diffIDs.count == layers.count else {
        throw ContainerdError.invalidArgument("image config \(config.digest) names \(image.diffIDs.count) layers, the manifest \(layers.count)")
      }
      var parent: String?
      for (number, (layer, diffID)) in zip(layers, image.diffIDs).enumerated() {
        if number >= present { progress(number, layers.count) }
        let chain = chain(diffID, on: parent)
        if try await !exists(chain) {
          let mine = prepared?.chain == chain ? prepared : nil
          if mine != nil { prepared = nil }
          try await unpack(layer, diffID, chain, parent, mine)
        }
        parent = chain
      }
      if layers.count > present { progress(layers.count, layers.count) }
      guard let top = parent else { throw ContainerdError.invalidArgument("image config \(config.digest) names no layer") }
      // Somebody else has unpacked it meanwhile.
      if let surplus = prepared {
        prepared = nil
        try await snapshotter.remove(surplus.key)
      }
      return try await hold(top, config)
    } catch {
      // If even that fails the caller's lease ends sooner or later; the first error is the one to tell.
      if let prepared { try? await abandon(Beginning(present: 0, prepared: prepared)) }
      throw error
    }
  }

  private func hold(_ top: String, _ config: Descriptor) async throws -> String {
    let key = "containerd.io/gc.ref.snapshot.\(snapshotterName)"
    _ = try await content.update(ContentInfo(digest: config.digest, labels: [key: top]), fields: ["labels.\(key)"])
    return top
  }

  func chain(_ diffID: Digest, on parent: String?) -> String {
    parent.map { hash(Array("\($0) \(diffID)".utf8)).description } ?? diffID.description
  }

  /// nil if the snapshotter has the layer without our help.
  func prepare(_ chain: String, _ parent: String?) async throws -> Prepared? {
    let key = "extract-\(Timestamp.now().nanoseconds)-\(String(UInt32.random(in: 0...UInt32.max), radix: 36)) \(chain)"
    do {
      let mounts = try await snapshotter.prepare(key, parent: parent, labels: labels.merging([Self.reference: chain]) { $1 })
      return Prepared(key: key, chain: chain, mounts: mounts)
    } catch let error as ContainerdError where error.code == .alreadyExists {
      if try await exists(chain) { return nil }
      throw error
    }
  }

  private func unpack(_ layer: Descriptor, _ diffID: Digest, _ chain: String, _ parent: String?, _ prepared: Prepared?) async throws {
    var prepared = prepared
    if prepared == nil { prepared = try await prepare(chain, parent) }
    guard let prepared else { return }
    let (key, mounts) = (prepared.key, prepared.mounts)
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

  private func exists(_ name: String) async throws -> Bool { try await find(name) != nil }

  func find(_ name: String) async throws -> SnapshotInfo? {
    do { return try await snapshotter.stat(name) } catch let error as ContainerdError where error.code == .notFound { return nil }
  }

  func bytes(of digest: Digest) async throws -> [UInt8] {
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
