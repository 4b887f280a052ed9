import FoundationEssentials
import Hashing
import OCI
import Protocols

/// An image as far as a lazy snapshotter needs to know it.
public struct KnownImage: Sendable, Hashable {
  /// `registry/repository@sha256:…`, what its layers can be fetched by.
  public var reference: String
  public var manifest: Descriptor
  public var layers: [Descriptor]
  public var diffIDs: [Digest]
  /// Of the layers' descriptors, where there are any.
  public var annotations: [Digest: [String: String]]
  /// An artifact with indexes that the manifest itself names, as SOCI does from version 2 on.
  public var named: Digest?

  /// `registry/repository`.
  var repository: String { String(reference.prefix { $0 != "@" }) }

  /// How many layers make the snapshot with this name; nil if none of them does (image-spec, config.md, "Layer ChainID").
  func depth(of chain: String) -> Int? {
    var name: String?
    for (number, diffID) in diffIDs.enumerated() {
      name = name.map { Digest.of(Array("\($0) \(diffID)".utf8)).description } ?? diffID.description
      if name == chain { return number + 1 }
    }
    return nil
  }
}

/// From the name of a layer's snapshot to the image that it belongs to.
///
/// containerd tells a snapshotter the ChainID and nothing else, but when it asks it has the manifest and the config already, each labelled with what it
/// refers to and where it came from. CRI tells the image's name too, as labels of the snapshot.
struct ImageSearch: Sendable {
  let content: any ImageContent
  /// Of the snapshot that is asked for.
  let labels: Labels

  /// The images that have a layer of this name, the newest manifest first.
  func images(with chain: String) async throws -> [KnownImage] {
    var found: [(KnownImage, Timestamp)] = []
    for manifest in try await manifests() {
      guard let image = try await image(manifest) else { continue }
      if image.depth(of: chain) != nil { found.append((image, manifest.createdAt)) }
    }
    return found.sorted { $0.1 > $1.1 }.map(\.0)
  }

  private func manifests() async throws -> [ContentInfo] {
    try await content.list(FilterSet(parsing: ["labels.\"containerd.io/gc.ref.content.config\""]))
  }

  /// nil for what is no manifest, or has no layers, or came from nowhere that can be asked again.
  private func image(_ info: ContentInfo) async throws -> KnownImage? {
    guard info.size <= ImageDocument.maximumSize, let place = try await source(info.labels) else { return nil }
    do {
      let bytes = try await read(info.digest)
      let manifest = try ImageManifest(parsing: bytes)
      let config = try ImageConfig(parsing: try await read(manifest.config.digest))
      guard config.diffIDs.count == manifest.layers.count, !manifest.layers.isEmpty else { return nil }
      let type = try ImageDocument.mediaType(of: bytes) ?? MediaType.ociManifest
      return KnownImage(
        reference: "\(place)@\(info.digest)", manifest: Descriptor(mediaType: type, digest: info.digest, size: info.size), layers: manifest.layers,
        diffIDs: config.diffIDs, annotations: try LayerAnnotations.read(bytes), named: try LayerAnnotations.artifact(of: bytes))
    } catch let error as ContainerdError where [.invalidArgument, .notFound, .notImplemented].contains(error.code) {
      // Another image that is broken, or half there, is no reason to know nothing of this one.
      return nil
    }
  }

  /// Labels of a snapshot that hold the image's name: CRI's, and those of clients that are made for lazy pulling.
  static let naming = [
    "containerd.io/snapshot/cri.image-ref", "containerd.io/snapshot/remote/stargz.reference", "containerd.io/snapshot/remote/soci.reference",
  ]

  /// `registry/repository` from containerd's label `containerd.io/distribution.source.HOST`, which names repositories separated by commas.
  ///
  /// The host has no port there: that is in the image's name, which the client has told, or under which the image is known already.
  private func source(_ manifest: Labels) async throws -> String? {
    let prefix = "containerd.io/distribution.source."
    for (key, value) in manifest.sorted(by: { $0.key < $1.key }) where key.hasPrefix(prefix) {
      let (host, repositories) = (String(key.dropFirst(prefix.count)), Set(value.split(separator: ",").map(String.init)))
      func fits(_ name: String) -> String? {
        guard let image = try? ImageReference(parsing: name), repositories.contains(image.repository) else { return nil }
        guard image.registry == host || image.registry.hasPrefix(host + ":") else { return nil }
        return "\(image.registry)/\(image.repository)"
      }
      for label in Self.naming { if let place = labels[label].flatMap(fits) { return place } }
      for name in try await content.imageNames() { if let place = fits(name) { return place } }
      if let first = repositories.sorted().first { return "\(host)/\(first)" }
    }
    return nil
  }

  private func read(_ digest: Digest) async throws -> [UInt8] {
    let reader = try await content.reader(digest)
    do {
      if reader.size > ImageDocument.maximumSize { throw ContainerdError.invalidArgument("content \(digest): \(reader.size) bytes for a document") }
      let bytes = try await reader.read(at: 0, count: Int(reader.size))
      await reader.close()
      if Digest.of(bytes, digest.algorithm) != digest { throw ContainerdError(.dataLoss, "content \(digest): its bytes are others") }
      return bytes
    } catch {
      await reader.close()
      throw error
    }
  }
}

/// A daemon's images, as far as they are asked for.
public protocol ImageContent: ContentProvider {
  func list(_ filters: FilterSet) async throws -> [ContentInfo]
  /// Of all images.
  func imageNames() async throws -> [String]
}

/// The annotations of layers in a manifest, which say where a layer's own table of contents is, and vouch for it; and that of the manifest which names an
/// artifact with indexes of the layers.
enum LayerAnnotations {
  private struct Manifest: Decodable {
    var annotations: [String: String]?
    struct Layer: Decodable {
      var digest: String
      var annotations: [String: String]?
    }
    var layers: [Layer]
  }

  /// nil if it names none, or what it names is no digest.
  static func artifact(of manifest: [UInt8]) throws -> Digest? {
    do {
      return try JSONDecoder().decode(Manifest.self, from: Data(manifest)).annotations?["com.amazon.soci.index-digest"].flatMap { try? Digest(parsing: $0) }
    } catch let error as DecodingError { throw ContainerdError.invalidArgument("manifest: \(error)") }
  }

  static func read(_ manifest: [UInt8]) throws -> [Digest: [String: String]] {
    var found: [Digest: [String: String]] = [:]
    do {
      for layer in try JSONDecoder().decode(Manifest.self, from: Data(manifest)).layers {
        if let annotations = layer.annotations, !annotations.isEmpty { found[try Digest(parsing: layer.digest)] = annotations }
      }
    } catch let error as DecodingError { throw ContainerdError.invalidArgument("manifest: \(error)") }
    return found
  }
}
