import ContainerdClient
import Hashing
import ImagePull
import ImageUnpack
import OCI
import Protocols
import RegistryFetcher
import Synchronization

/// From a registry into a daemon's store: what `pull` and `run --pull` do.
struct ImagePulling: Sendable {
  var reference: String
  var snapshotter: String
  var unpack = true
  var plainHTTP = false
  /// USER:PASSWORD.
  var credentials: String?
  var registries = RegistryResolver.Configuration()

  struct Pulled: Sendable {
    var image: PulledImage
    /// Layers, from the lowest, that the snapshotter has without their blobs: these were not fetched.
    var lazy = 0
  }

  @discardableResult
  func run(_ connection: ContainerdClient, _ display: ProgressDisplay) async throws -> Pulled {
    let image = try ImageReference(parsing: reference)
    var configuration = registries
    if plainHTTP { configuration.plainHTTP.insert(image.registry) }
    if let credentials {
      let parts = credentials.split(separator: ":", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { throw ContainerdError.invalidArgument("--user takes USER:PASSWORD") }
      configuration.credentials[image.registry] = .init(user: parts[0], password: parts[1])
    }
    let resolver = RegistryResolver(configuration: configuration)
    do {
      let pulled = try await connection.leased { try await pull($0, resolver, display) }
      try await resolver.close()
      display.finish()
      return pulled
    } catch {
      display.finish()
      // The connection is of no further use; what went wrong first is what to tell.
      try? await resolver.close()
      throw error
    }
  }

  private func pull(_ leased: ContainerdClient, _ resolver: RegistryResolver, _ display: ProgressDisplay) async throws -> Pulled {
    let puller = ImagePuller(resolver: resolver, content: leased.content)
    guard unpack else {
      let pulled = try await puller.pull(reference) { display.update($0) }
      try await Self.record(pulled, leased)
      return Pulled(image: pulled)
    }
    let unpacker = Self.unpacker(leased, image: try ImageReference(parsing: reference).description, snapshotter: snapshotter)
    let begun = Mutex<ImageUnpacker.Beginning?>(nil)
    do {
      let pulled = try await puller.pull(reference, progress: { display.update($0) }) { image in
        let beginning = try await unpacker.begin(config: image.config, layers: image.layers)
        begun.withLock { $0 = beginning }
        if beginning.present > 0 { display.lazy(beginning.present, of: image.layers.count) }
        return beginning.present
      }
      try await Self.record(pulled, leased)
      // From here on what was prepared is the unpacker's.
      let beginning = begun.withLock { $0.take() }
      _ = try await unpacker.unpack(config: pulled.config, layers: pulled.layers, after: beginning) { display.unpacking($0, of: $1) }
      return Pulled(image: pulled, lazy: beginning?.present ?? 0)
    } catch {
      // What stays ends with the lease at the latest; the first error is the one to tell.
      if let beginning = begun.withLock({ $0.take() }) { try? await unpacker.abandon(beginning) }
      throw error
    }
  }

  private static func record(_ pulled: PulledImage, _ leased: ContainerdClient) async throws {
    let record = ImageRecord(name: pulled.name, target: pulled.target)
    do { _ = try await leased.images.create(record) } catch let error as ContainerdError where error.code == .alreadyExists {
      _ = try await leased.images.update(record, fields: ["target"])
    }
  }

  /// Makes the snapshots of an image whose content is there, or that the snapshotter has without it.
  static func unpack(_ leased: ContainerdClient, image: String, config: Descriptor, layers: [Descriptor], snapshotter: String) async throws {
    _ = try await unpacker(leased, image: image, snapshotter: snapshotter).unpack(config: config, layers: layers)
  }

  /// - Parameter image: its name, by which a lazy snapshotter finds the registry.
  private static func unpacker(_ leased: ContainerdClient, image: String, snapshotter: String) -> ImageUnpacker {
    ImageUnpacker(
      content: leased.content, snapshotter: leased.snapshotter(snapshotter), snapshotterName: snapshotter, applier: leased.applier, hash: { Digest.of($0) },
      labels: ["containerd.io/snapshot/cri.image-ref": image])
  }
}

extension ContainerdClient {
  /// The name under which the daemon has the image that the user means: as it stands, or with the registry world's defaults filled in.
  func imageName(_ reference: String) async throws -> String {
    do { return try await images.get(reference).name } catch let error as ContainerdError where error.code == .notFound {
      return try await images.get(ImageReference(parsing: reference).description).name
    }
  }

  /// The image that the user means; an image that is not there comes with the way to get it.
  func image(_ reference: String) async throws -> ImageRecord {
    do { return try await images.get(imageName(reference)) } catch let error as ContainerdError where error.code == .notFound {
      throw ContainerdError.failedPrecondition("image \(reference) is not here. Pull it first: containerd-ref pull \(reference)")
    }
  }
}
