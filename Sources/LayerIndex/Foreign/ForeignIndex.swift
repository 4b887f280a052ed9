import Hashing
import Protocols

/// Indexes that others made, as a `LayerIndex`: SOCI's ztoc, and the tables of contents that eStargz and zstd:chunked put into the layer itself.
///
/// All of it is untrusted: what does not fit together is `invalidArgument`, what has not the digest it should have is `dataLoss`. None of these formats
/// tells the DiffID, which the caller knows from the image's configuration.
public enum ForeignIndex {
  public enum Form: String, Sendable, Hashable {
    case eStargz, zstdChunked
  }

  /// An index that a layer brought along.
  public struct Found: Sendable {
    public var index: LayerIndex
    public var form: Form
    /// Whether the manifest has the digest of the table, and thereby of everything that can be read by it. If not, the index is what the layer says of
    /// itself, right only if the whole blob has the manifest's digest.
    public var isBound: Bool
  }

  /// Where a layer has its table of contents.
  public struct Table: Sendable, Hashable {
    public var form: Form
    /// As of `Found`.
    public var isBound: Bool
    /// In the blob, packed; `mostTable` bytes at most.
    public var range: Range<Int64>
  }

  /// The most that a table of contents may have, packed or unpacked.
  static let mostTable: Int64 = 256 << 20
  static let mostEntries = 4_000_000

  /// Whether `find` wants to know this annotation of a layer.
  public static func isOfInterest(annotation name: String) -> Bool {
    name == EStargz.digestAnnotation || ZstdChunked.prefixes.contains { name.hasPrefix($0) }
  }

  /// Where the layer's table is; nil if it has none. Reads the end of the blob, if anything; the table itself nobody has looked at.
  public static func table(
    blob: Digest, size: Int64, mediaType: String, annotations: [String: String] = [:], read: @escaping LayerIndex.Fetch
  ) throws -> Table? {
    guard let packing = try? LayerIndex.Packing(mediaType: mediaType) else { return nil }
    let source = Source(blob: blob, size: size, diffID: nil, read: read)
    switch packing {
    case .plain: return nil
    case .gzip:
      guard let footer = try EStargz.footer(of: source) else { return nil }
      return Table(form: .eStargz, isBound: annotations[EStargz.digestAnnotation] != nil, range: try footer.table(of: source))
    case .zstd:
      guard let position = try ZstdChunked.position(of: source, annotations) else { return nil }
      return Table(form: .zstdChunked, isBound: position.isBound, range: position.place..<position.place + position.packed)
    }
  }

  /// The index that is in the layer; nil if there is none.
  /// - Parameters:
  ///   - annotations: of the layer's descriptor in the manifest.
  ///   - read: gives the bytes of the blob in a range.
  public static func find(
    blob: Digest, size: Int64, mediaType: String, annotations: [String: String] = [:], diffID: Digest? = nil, read: @escaping LayerIndex.Fetch
  ) throws -> Found? {
    guard let packing = try? LayerIndex.Packing(mediaType: mediaType) else { return nil }
    let source = Source(blob: blob, size: size, diffID: diffID, read: read)
    switch packing {
    case .plain: return nil
    case .gzip:
      guard let footer = try EStargz.footer(of: source) else { return nil }
      let digest = try annotations[EStargz.digestAnnotation].map { text in try Digest(parsing: text) }
      return Found(index: try EStargz.index(source, footer, tocDigest: digest), form: .eStargz, isBound: digest != nil)
    case .zstd:
      guard let position = try ZstdChunked.position(of: source, annotations) else { return nil }
      return Found(index: try ZstdChunked.index(source, position), form: .zstdChunked, isBound: position.isBound)
    }
  }

  /// - Parameter tocDigest: of the table's JSON, as in the manifest's annotation `containerd.io/snapshot/stargz/toc.digest`.
  public static func eStargz(blob: Digest, size: Int64, diffID: Digest? = nil, tocDigest: Digest?, read: @escaping LayerIndex.Fetch) throws -> LayerIndex {
    let source = Source(blob: blob, size: size, diffID: diffID, read: read)
    guard let footer = try EStargz.footer(of: source) else { throw source.wrong("it has no footer of eStargz") }
    return try EStargz.index(source, footer, tocDigest: tocDigest)
  }

  /// - Parameter annotations: of the layer's descriptor; the footer is read where they do not tell the table's position.
  public static func zstdChunked(
    blob: Digest, size: Int64, diffID: Digest? = nil, annotations: [String: String] = [:], read: @escaping LayerIndex.Fetch
  ) throws -> LayerIndex {
    let source = Source(blob: blob, size: size, diffID: diffID, read: read)
    guard let position = try ZstdChunked.position(of: source, annotations) else { throw source.wrong("it has no footer of zstd:chunked") }
    return try ZstdChunked.index(source, position)
  }

  /// - Parameter ztoc: the whole of it; its digest is the caller's to check.
  public static func soci(ztoc: [UInt8], blob: Digest, size: Int64, diffID: Digest? = nil) throws -> LayerIndex {
    try SOCI.index(ztoc: ztoc, blob: blob, size: size, diffID: diffID)
  }

  /// A blob that is looked into.
  struct Source {
    var blob: Digest
    var size: Int64
    var diffID: Digest?
    let read: LayerIndex.Fetch

    func bytes(_ range: Range<Int64>) throws -> [UInt8] {
      let bytes = try read(range)
      if bytes.count != Int(range.upperBound - range.lowerBound) {
        throw ContainerdError(.dataLoss, "blob \(blob), bytes \(range.lowerBound) to \(range.upperBound): \(bytes.count) bytes came")
      }
      return bytes
    }
    func wrong(_ why: String) -> ContainerdError { .invalidArgument("blob \(blob): \(why)") }
    func compare(_ bytes: [UInt8], _ expected: Digest, _ what: String) throws {
      let digest = Digest.of(bytes, expected.algorithm)
      if digest != expected { throw ContainerdError(.dataLoss, "blob \(blob): \(what): expected \(expected), got \(digest)") }
    }
  }
}
