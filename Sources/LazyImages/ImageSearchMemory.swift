import OCI
import Protocols
import Synchronization

/// What a manifest and its config say. Both are named by their digests, so it never changes.
struct ImageDocuments: Sendable {
  private let mediaType: String
  private let layers: [Descriptor]
  private let diffIDs: [Digest]
  private let annotations: [Digest: [String: String]]
  private let named: Digest?
  /// The names of the snapshots that the layers make.
  let chains: [String]

  /// nil for what has no layers, or others than its config says.
  init?(_ manifest: ImageManifest, _ bytes: [UInt8], _ config: ImageConfig) throws {
    guard config.diffIDs.count == manifest.layers.count, !manifest.layers.isEmpty else { return nil }
    mediaType = try ImageDocument.mediaType(of: bytes) ?? MediaType.ociManifest
    layers = manifest.layers
    diffIDs = config.diffIDs
    annotations = try LayerAnnotations.read(bytes)
    named = try LayerAnnotations.artifact(of: bytes)
    chains = KnownImage.chains(config.diffIDs)
  }

  func image(_ manifest: ContentInfo, from place: String) -> KnownImage {
    KnownImage(
      reference: "\(place)@\(manifest.digest)", manifest: Descriptor(mediaType: mediaType, digest: manifest.digest, size: manifest.size), layers: layers,
      diffIDs: diffIDs, annotations: annotations, named: named)
  }
}

/// The manifests that were read, each for the namespace that it was read in alone: what one has, another must not be told.
///
/// Without it every layer of every image would have all manifests and configs read again.
final class ImageSearchMemory: Sendable {
  struct Known: Sendable {
    /// nil for what is no image, which never changes either.
    let documents: ImageDocuments?
    fileprivate let cost: Int
  }
  private struct Name: Hashable {
    var digest: Digest
    var namespace: String
  }
  private struct State {
    var known: [Name: Known] = [:]
    var cost = 0
  }
  private let state = Mutex(State())
  private let most: Int

  /// What an entry takes beside the manifest's own bytes.
  private static let entryCost = 1 << 10

  /// - Parameter most: what the manifests may take together, in bytes of their documents; the default is room for thousands.
  init(most: Int = 16 << 20) { self.most = most }

  /// nil for a manifest that is not remembered.
  func recall(_ manifest: Digest, _ namespace: String) -> Known? { state.withLock { $0.known[Name(digest: manifest, namespace: namespace)] } }

  /// Where there is no room, others are forgotten, whichever: to read one again is cheap, and all in turn would be forgotten by a search through more
  /// manifests than there is room for, if the oldest went first.
  func remember(_ documents: ImageDocuments?, of manifest: Digest, _ namespace: String, size: Int) {
    let entry = Known(documents: documents, cost: size + Self.entryCost)
    if entry.cost > most { return }
    state.withLock { state in
      if let former = state.known.updateValue(entry, forKey: Name(digest: manifest, namespace: namespace)) { state.cost -= former.cost }
      state.cost += entry.cost
      while state.cost > most, let other = state.known.keys.first(where: { $0 != Name(digest: manifest, namespace: namespace) }) {
        if let forgotten = state.known.removeValue(forKey: other) { state.cost -= forgotten.cost }
      }
    }
  }
}
