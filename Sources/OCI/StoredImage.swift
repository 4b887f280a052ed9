import Protocols

/// An image as a content store has it: its manifest for one platform, its config, its layers, and what it weighs.
public struct StoredImage: Sendable {
  public var target: Descriptor
  /// The target itself, or the manifest for the platform that the index names.
  public var manifest: Descriptor
  public var configDescriptor: Descriptor
  public var config: ImageConfig
  public var layers: [Descriptor]
  /// Bytes of everything that this platform needs: index, manifest, config, layers.
  public var size: Int64

  /// Reads the documents. `notFound` if one of them is not there, or none is for the platform.
  public init(_ target: Descriptor, in content: any ContentProvider, platform: Platform = .host) async throws {
    self.target = target
    var manifest = target
    size = target.size
    if MediaType.isIndex(target.mediaType) {
      guard let chosen = try await ImageIndex(parsing: Self.document(target, in: content)).manifest(for: platform) else {
        throw ContainerdError.notFound("image index \(target.digest): manifest for platform \(platform.normalized)")
      }
      manifest = chosen
      size += chosen.size
    }
    let documents = try await ImageManifest(parsing: Self.document(manifest, in: content))
    self.manifest = manifest
    configDescriptor = documents.config
    layers = documents.layers
    config = try await ImageConfig(parsing: Self.document(documents.config, in: content))
    size += documents.config.size + documents.layers.reduce(0) { $0 + $1.size }
  }

  /// The name of the snapshot with all layers (image-spec, config.md, "Layer ChainID"); nil for an image without layers.
  public func chainID(hash: ([UInt8]) -> Digest) -> String? {
    config.diffIDs.reduce(nil) { parent, diffID in
      parent.map { hash(Array("\($0) \(diffID)".utf8)).description } ?? diffID.description
    }
  }

  private static func document(_ descriptor: Descriptor, in content: any ContentProvider) async throws -> [UInt8] {
    let reader = try await content.reader(descriptor.digest)
    do {
      if reader.size > ImageDocument.maximumSize {
        throw ContainerdError(.resourceExhausted, "content \(descriptor.digest): a document of \(reader.size) bytes")
      }
      let bytes = try await reader.read(at: 0, count: Int(reader.size))
      await reader.close()
      return bytes
    } catch {
      await reader.close()
      throw error
    }
  }
}
