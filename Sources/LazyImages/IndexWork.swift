import LayerIndex
import LazyLayers
import Protocols
import SystemKit

/// Reads a layer out of a daemon's content store from its beginning to its end, and puts its index on a shelf.
public struct IndexWork: DetachedWork {
  public typealias Outcome = Int
  public static let name = "make-index"
  public static let isIdle = true
  /// The daemon's socket, and the namespace there.
  public var daemon: String
  public var namespace: String
  public var mediaType: String
  public var digest: String
  public var size: Int64
  /// The shelf's directory.
  public var indexes: String

  public init(_ layer: Descriptor, daemon: String, namespace: String, indexes: String) {
    self.daemon = daemon
    self.namespace = namespace
    self.indexes = indexes
    (mediaType, digest, size) = (layer.mediaType, "\(layer.digest)", layer.size)
  }

  public var subject: String { "index of layer \(digest)" }
  public var bytes: Int64 { size }

  /// - Parameter content: of the namespace.
  /// - Returns: the index's length in bytes.
  public func perform(_ content: any ContentProvider) async throws -> Int {
    let layer = Descriptor(mediaType: mediaType, digest: try Digest(parsing: digest), size: size)
    let bytes = try await IndexMaker.make(layer, from: content)
    try IndexShelf(root: indexes).write(bytes, for: layer.digest)
    return bytes.count
  }
}
