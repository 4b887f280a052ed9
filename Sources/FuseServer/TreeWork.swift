import CLinux
import LayerIndex
import LazyLayers
import Protocols
import SystemKit

/// Reads the indexes of a stack of layers and writes their merged tree: what it leaves in the heap is many times what a server needs.
public struct TreeWork: LocalWork {
  public typealias Outcome = [Wish]
  public static let name = "tree"
  /// Files, the lowest layer first.
  public var indexes: [String]
  /// What was there is replaced.
  public var tree: String

  public init(indexes: [String], tree: String) {
    self.indexes = indexes
    self.tree = tree
  }

  public var subject: String { "tree \(tree)" }
  public var bytes: Int64 { 0 }

  /// What the layers' makers want to be there first.
  public struct Wish: Codable, Sendable, Hashable {
    /// From below.
    public var layer: Int
    /// Of its archive.
    public var from: Int64
    public var to: Int64
    public init(layer: Int, from: Int64, to: Int64) {
      self.layer = layer
      self.from = from
      self.to = to
    }
  }

  public func perform() throws -> [Wish] {
    let layers = try indexes.map { try Self.read($0) }
    try FlatTree.write(layers, to: tree)
    return layers.enumerated().flatMap { number, layer in
      layer.prefetch.flatMap { layer.entries[$0].pieces.map { Wish(layer: number, from: $0.place, to: $0.place + $0.count) } }
    }
  }

  private static func read(_ file: String) throws(ContainerdError) -> LayerIndex {
    let bytes: [UInt8]
    do { bytes = try Files.read(file, limit: 1 << 31) } catch {
      throw ContainerdError(error.errno == ENOENT ? .notFound : .unknown, "index \(file): \(error.reason)")
    }
    do { return try IndexFile.decode(bytes) } catch { throw ContainerdError(error.code, "index \(file): \(error.message)") }
  }
}
