import ContainerdClient
import Hashing
import ImagePull
import ImageUnpack
import OCI
import Protocols
import RegistryFetcher

/// From a registry into a daemon's store: what `pull` and `run --pull` do.
struct ImagePulling: Sendable {
  var reference: String
  var snapshotter: String
  var unpack = true
  var plainHTTP = false
  /// USER:PASSWORD.
  var credentials: String?

  func run(_ connection: ContainerdClient, _ display: ProgressDisplay) async throws -> PulledImage {
    let image = try ImageReference(parsing: reference)
    var configuration = RegistryResolver.Configuration()
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

  private func pull(_ leased: ContainerdClient, _ resolver: RegistryResolver, _ display: ProgressDisplay) async throws -> PulledImage {
    let pulled = try await ImagePuller(resolver: resolver, content: leased.content).pull(reference) { display.update($0) }
    let record = ImageRecord(name: pulled.name, target: pulled.target)
    do { _ = try await leased.images.create(record) } catch let error as ContainerdError where error.code == .alreadyExists {
      _ = try await leased.images.update(record, fields: ["target"])
    }
    if unpack {
      try await Self.unpack(leased, config: pulled.config, layers: pulled.layers, snapshotter: snapshotter) { display.unpacking($0, of: $1) }
    }
    return pulled
  }

  /// Makes the snapshots of an image whose content is there.
  static func unpack(
    _ leased: ContainerdClient, config: Descriptor, layers: [Descriptor], snapshotter: String, progress: @escaping @Sendable (Int, Int) -> Void
  ) async throws {
    let unpacker = ImageUnpacker(
      content: leased.content, snapshotter: leased.snapshotter(snapshotter), snapshotterName: snapshotter, applier: leased.applier, hash: { Digest.of($0) })
    _ = try await unpacker.unpack(config: config, layers: layers, progress: progress)
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
