import LayerIndex
import LazyLayers
import Protocols

/// What a lazy snapshotter has to be told about images; it knows none itself.
public protocol LazyImages: Sendable {
  /// The layers that make the snapshot which the request names, or why it cannot be lazy. May take as long as a registry does: the caller sets the limit.
  func find(_ request: LazyRequest) async throws -> LazyAnswer

  /// Where a layer's bytes come from. Does no network call.
  func source(of layer: Descriptor, image: String) throws -> any LayerSource

  /// The client has unpacked the layer itself: the time to make an index of it, for the next time. Returns when that is done, or cannot be.
  func unpacked(_ request: LazyRequest) async

  /// What was needed first of a layer, an AccessList as a file: for the layer's next time here. What is told later takes its place. Blocking.
  func remember(_ accesses: [UInt8], of layer: Digest) throws

  /// The index of this layer is wrong: it must not be given again.
  func distrust(_ layer: Digest) async
}

/// What containerd says when it asks for a layer.
public struct LazyRequest: Sendable, Hashable {
  /// The label `containerd.io/snapshot.ref`: a ChainID.
  public var reference: String
  /// containerd's own keys begin with the namespace.
  public var key: String
  public var labels: Labels
  /// Layers below it whose indexes are here already: they need not be read again.
  public var placed: Set<Digest>
  public init(reference: String, key: String, labels: Labels, placed: Set<Digest> = []) {
    self.reference = reference
    self.key = key
    self.labels = labels
    self.placed = placed
  }
}

public enum LazyAnswer: Sendable {
  /// From below, the one that was asked for last. `image` is what the layers can be fetched by, and what messages say.
  case layers(image: String, [LazyOffer])
  /// The client must unpack it. The reason is for people.
  case declined(String, LazyObstacle)
}

/// Why a layer is not lazy, in kinds that can be counted.
public enum LazyObstacle: String, Codable, Sendable, Hashable, CaseIterable {
  /// No image is known that has the layer.
  case unknownImage = "unknown-image"
  case noIndex = "no-index"
  /// There is an index, of something else.
  case wrongIndex = "wrong-index"
  /// It is packed in one piece.
  case notSeekable = "not-seekable"
  /// What it would stand on is another image's.
  case parent
  /// It could not be found out.
  case failure
}

public struct LazyOffer: Sendable {
  public var blob: Descriptor
  public var diffID: Digest
  /// nil for a layer that the request says is placed.
  public var index: Index?
  /// An AccessList as a file, if there is one; nobody has checked whether it fits.
  public var accesses: [UInt8]?

  public enum Index: Sendable {
    /// And as a file.
    case made(LayerIndex, bytes: [UInt8])
    case ready(ReadyIndex)
  }

  public init(blob: Descriptor, diffID: Digest, index: ReadyIndex, accesses: [UInt8]? = nil) {
    self.blob = blob
    self.diffID = diffID
    self.index = .ready(index)
    self.accesses = accesses
  }

  public init(blob: Descriptor, diffID: Digest, index: LayerIndex, bytes: [UInt8], accesses: [UInt8]? = nil) {
    self.blob = blob
    self.diffID = diffID
    self.index = .made(index, bytes: bytes)
    self.accesses = accesses
  }

  /// For a layer that is placed.
  public init(blob: Descriptor, diffID: Digest) {
    self.blob = blob
    self.diffID = diffID
  }
}
