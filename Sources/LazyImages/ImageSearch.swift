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

  /// How many layers make the snapshot with this name; nil if none of them does.
  func depth(of chain: String) -> Int? { Self.chains(diffIDs).firstIndex(of: chain).map { $0 + 1 } }

  /// The names of the snapshots that the layers make, from below (image-spec, config.md, "Layer ChainID").
  static func chains(_ diffIDs: [Digest]) -> [String] {
    var chains: [String] = []
    for diffID in diffIDs { chains.append(chains.last.map { Digest.of(Array("\($0) \(diffID)".utf8)).description } ?? diffID.description) }
    return chains
  }
}

/// From the name of a layer's snapshot to the image that it belongs to.
///
/// containerd tells a snapshotter the ChainID and nothing else, but when it asks it has the manifest and the config already, each labelled with what it
/// refers to and where it came from. CRI tells the image's name too, as labels of the snapshot.
struct ImageSearch: Sendable {
  let content: any ImageContent
  /// Of the content.
  let namespace: String
  /// Of all searches: a search reads only the manifests that none before it has read.
  let memory: ImageSearchMemory
  /// Of the snapshot that is asked for.
  let labels: Labels

  /// The images that have a layer of this name, the newest manifest first.
  func images(with chain: String) async throws -> [KnownImage] {
    var found: [(KnownImage, Timestamp)] = []
    var names: [ImageReference]?
    for manifest in try await manifests() {
      guard manifest.size <= ImageDocument.maximumSize, Self.hasSource(manifest.labels), let documents = try await documents(manifest.digest),
        documents.chains.contains(chain), let place = try await source(manifest.labels, &names)
      else { continue }
      found.append((documents.image(manifest, from: place), manifest.createdAt))
    }
    return found.sorted { $0.1 > $1.1 }.map(\.0)
  }

  private func manifests() async throws -> [ContentInfo] {
    try await content.list(FilterSet(parsing: ["labels.\"containerd.io/gc.ref.content.config\""]))
  }

  /// nil for what is no manifest, or has no layers, or is half there.
  private func documents(_ manifest: Digest) async throws -> ImageDocuments? {
    if let known = memory.recall(manifest, namespace) { return known.documents }
    // Another image that is broken, or half there, is no reason to know nothing of this one.
    guard let bytes = try await read(manifest) else { return nil }
    var documents: ImageDocuments?
    do {
      let parsed = try ImageManifest(parsing: bytes)
      // It may come yet, so its absence is not remembered.
      guard let config = try await read(parsed.config.digest) else { return nil }
      documents = try ImageDocuments(parsed, bytes, try ImageConfig(parsing: config))
    } catch let error as ContainerdError where Self.isPassedOver(error) {}
    memory.remember(documents, of: manifest, namespace, size: bytes.count)
    return documents
  }

  private static func isPassedOver(_ error: ContainerdError) -> Bool { [.invalidArgument, .notFound, .notImplemented].contains(error.code) }

  /// Labels of a snapshot that hold the image's name: CRI's, and those of clients that are made for lazy pulling.
  static let naming = [
    "containerd.io/snapshot/cri.image-ref", "containerd.io/snapshot/remote/stargz.reference", "containerd.io/snapshot/remote/soci.reference",
  ]

  private static let sourcePrefix = "containerd.io/distribution.source."

  /// false for what came from nowhere that can be asked again.
  private static func hasSource(_ manifest: Labels) -> Bool {
    manifest.contains { $0.key.hasPrefix(sourcePrefix) && $0.value.contains { $0 != "," } }
  }

  /// `registry/repository` from containerd's label `containerd.io/distribution.source.HOST`, which names repositories separated by commas.
  ///
  /// The host has no port there: that is in the image's name, which the client has told, or under which the image is known already.
  /// - Parameter names: of all images, once they were asked for: the list is long where there are many, and one is enough for a search.
  private func source(_ manifest: Labels, _ names: inout [ImageReference]?) async throws -> String? {
    let prefix = Self.sourcePrefix
    for (key, value) in manifest.sorted(by: { $0.key < $1.key }) where key.hasPrefix(prefix) {
      let (host, repositories) = (String(key.dropFirst(prefix.count)), Set(value.split(separator: ",").map(String.init)))
      func fits(_ image: ImageReference) -> String? {
        guard repositories.contains(image.repository), image.registry == host || image.registry.hasPrefix(host + ":") else { return nil }
        return "\(image.registry)/\(image.repository)"
      }
      for label in Self.naming {
        if let name = labels[label], let image = try? ImageReference(parsing: name), let place = fits(image) { return place }
      }
      let known: [ImageReference]
      if let names { known = names } else { known = try await content.imageNames().compactMap { try? ImageReference(parsing: $0) } }
      names = known
      for image in known { if let place = fits(image) { return place } }
      if let first = repositories.sorted().first { return "\(host)/\(first)" }
    }
    return nil
  }

  /// nil for what is not there, or cannot be a document.
  private func read(_ digest: Digest) async throws -> [UInt8]? {
    do {
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
    } catch let error as ContainerdError where Self.isPassedOver(error) { return nil }
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
