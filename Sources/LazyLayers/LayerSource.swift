import BlockingIO
import LayerIndex
import Protocols

/// Where the bytes of a layer's blob come from.
public protocol LayerSource: Sendable {
  /// Exactly the bytes of the range, or an error. What may pass is not tried again here for long: whoever waits decides how long that is worth it.
  func read(_ range: Range<Int64>) async throws -> [UInt8]
}

/// A blob of a registry.
public struct FetchedBlob: LayerSource {
  private let fetcher: any Fetcher
  private let layer: Descriptor

  public init(_ layer: Descriptor, from fetcher: any Fetcher) {
    self.fetcher = fetcher
    self.layer = layer
  }

  public func read(_ range: Range<Int64>) async throws -> [UInt8] { try await fetcher.read(layer, range) }
}

/// A blob in a file of this machine.
public struct LocalBlob: LayerSource {
  private static let pool = BlockingPool(label: "blobs", width: 4)
  private let file: BlobFile
  public init(_ file: BlobFile) { self.file = file }
  public func read(_ range: Range<Int64>) async throws -> [UInt8] { try await Self.pool.run { [file] in try file.read(range) } }
}
