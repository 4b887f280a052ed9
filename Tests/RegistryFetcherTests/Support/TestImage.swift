import EmbeddedRegistry
import Foundation
import Hashing
import OCI
import Protocols

/// An image as it lies in a registry: made of bytes that tests know.
struct TestImage: Sendable {
  static let layerType = "application/vnd.oci.image.layer.v1.tar"

  var reference: String
  var manifest: Descriptor
  var config: Descriptor
  var layers: [Descriptor]

  struct Entry: Encodable {
    var mediaType: String
    var digest: String
    var size: Int64
    var platform: [String: String]?
    var annotations: [String: String]?
    var urls: [String]?

    init(_ descriptor: Descriptor, platform: [String: String]? = nil, annotations: [String: String]? = nil, urls: [String]? = nil) {
      mediaType = descriptor.mediaType
      digest = descriptor.digest.description
      size = descriptor.size
      self.platform = platform
      self.annotations = annotations
      self.urls = urls
    }
  }

  /// Bytes that look like nothing, the same for the same seed.
  static func bytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    return (0..<count).map { _ in
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return UInt8(truncatingIfNeeded: state >> 32)
    }
  }

  static func json(_ value: some Encodable) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return Array(try encoder.encode(value))
  }

  static func add(_ bytes: [UInt8], _ mediaType: String, to registry: EmbeddedRegistry, _ repository: String = "app") async throws -> Descriptor {
    Descriptor(mediaType: mediaType, digest: try await registry.add(blob: bytes, to: repository), size: Int64(bytes.count))
  }

  /// Puts an image of these layers there.
  static func push(
    _ layers: [[UInt8]], to registry: EmbeddedRegistry, repository: String = "app", tag: String? = "1", type: String = MediaType.ociManifest,
    config: [UInt8] = Array("{\"os\":\"linux\"}".utf8), layerType: String = layerType, urls: [String]? = nil
  ) async throws -> TestImage {
    let isDocker = type == MediaType.dockerManifest
    let config = try await add(config, isDocker ? MediaType.dockerConfig : MediaType.ociConfig, to: registry, repository)
    var descriptors: [Descriptor] = []
    for layer in layers { descriptors.append(try await add(layer, layerType, to: registry, repository)) }
    struct Wire: Encodable {
      var schemaVersion = 2
      var mediaType: String
      var config: Entry
      var layers: [Entry]
    }
    let bytes = try json(Wire(mediaType: type, config: Entry(config), layers: descriptors.map { Entry($0, urls: urls) }))
    let digest = try await registry.add(manifest: bytes, mediaType: type, to: repository, tag: tag)
    return TestImage(
      reference: "\(registry.address)/\(repository)" + (tag.map { ":\($0)" } ?? "@\(digest)"),
      manifest: Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count)), config: config, layers: descriptors)
  }

  /// Puts an index there, and gives its descriptor.
  static func pushIndex(_ entries: [Entry], to registry: EmbeddedRegistry, tag: String? = "index", type: String = MediaType.ociIndex) async throws -> Descriptor
  {
    struct Wire: Encodable {
      var schemaVersion = 2
      var mediaType: String
      var manifests: [Entry]
    }
    let bytes = try json(Wire(mediaType: type, manifests: entries))
    let digest = try await registry.add(manifest: bytes, mediaType: type, to: "app", tag: tag)
    return Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count))
  }

  var blobs: [Digest] { [config.digest] + layers.map(\.digest) }
  var everything: Set<Digest> { Set(blobs + [manifest.digest]) }
}
