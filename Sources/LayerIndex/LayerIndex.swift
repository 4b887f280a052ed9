import Protocols

/// What is in a layer and where: enough to read any file of it without the rest.
///
/// An index belongs to one blob, whose bytes it does not hold. A **span** is a piece of the archive that can be unpacked by itself; its digest is
/// of the compressed bytes, so that nothing is unpacked that was not checked; where others made the index it may be of the unpacked ones. Who did not make
/// an index must not believe it further than that: spans are right as far as the index is, and the index is right if the whole blob, once it is there, has
/// the digest of the manifest.
///
/// Source: the idea of restarting inflate in the middle is zlib's `examples/zran.c`; RFC 1951 and RFC 1952 for the bits.
public struct LayerIndex: Sendable, Hashable {
  /// The blob as it lies in the registry, and its length in bytes.
  public var blob: Digest
  public var size: Int64
  public var packing: Packing
  /// Of the archive in it; nil where whoever made the index did not say, as the formats of others do not: it stands in the image's configuration.
  public var diffID: Digest?
  /// What places in the archive are places of, and its length in bytes.
  public var archive: Archive
  public var archiveSize: Int64
  /// In the order of the archive, without gaps: the first begins at 0, the last ends at `archiveSize`.
  public var spans: [Span]
  /// In the order of the archive, names as they stand there.
  public var entries: [Entry]
  /// Places in `entries` of the files that whoever made the layer wants to be fetched first, in that order.
  public var prefetch: [Int]

  public enum Packing: String, Sendable, Hashable, Codable {
    /// A tar archive as it is.
    case plain
    /// One or more members of gzip.
    case gzip
    /// One or more frames of zstd.
    case zstd
  }

  public enum Archive: String, Sendable, Hashable, Codable {
    /// The tar archive, whole: the spans together have the DiffID.
    case tar
    /// The tar archive as far as its end mark: padding may follow, which is in no span.
    case beginning
    /// The contents of files, one behind the other, without the headers between them, which are in no span: it stands in no blob like this.
    case contents
  }

  public init(
    blob: Digest, size: Int64, packing: Packing, diffID: Digest?, archive: Archive = .tar, archiveSize: Int64, spans: [Span], entries: [Entry],
    prefetch: [Int] = []
  ) {
    self.blob = blob
    self.size = size
    self.packing = packing
    self.diffID = diffID
    self.archive = archive
    self.archiveSize = archiveSize
    self.spans = spans
    self.entries = entries
    self.prefetch = prefetch
  }

  /// Whether a little can be had for a little. False of zstd in one frame, and of what has a span of more than 256 MiB: such a layer is better unpacked once.
  public var isSeekable: Bool {
    let longest = spans.reduce(0) { max($0, $1.skip + $1.archiveRange.upperBound - $1.archiveRange.lowerBound) }
    return longest <= 8 << 20 || (longest <= 256 << 20 && spans.count > 1)
  }
}

extension LayerIndex {
  /// A piece of the archive that can be unpacked by itself.
  public struct Span: Sendable, Hashable {
    /// The bytes of the blob that it takes. Two spans share a byte where the second begins in the middle of it.
    public var blobRange: Range<Int64>
    /// What they are of the archive.
    public var archiveRange: Range<Int64>
    /// Of the bytes that `covers` tells.
    public var digest: Digest
    public var covers: Coverage
    public var start: Start
    /// How many bytes come out in front of those of the archive when the span is unpacked. Not 0 only where several begin at the same place of the blob.
    public var skip: Int64

    public enum Coverage: String, Sendable, Hashable, Codable {
      /// The digest is of the bytes of the blob: what is wrong is never unpacked.
      case blob
      /// The digest is of the bytes of the archive: they are unpacked, no more than there should be, and then compared.
      case archive
    }

    public enum Start: Sendable, Hashable {
      /// Nothing before it is needed: bytes as they are, or the beginning of a member of gzip or of a frame of zstd.
      case fresh
      /// A block of deflate that begins with the last `bits` bits of the first byte, or with the second where that is 0 bits and no byte is shared.
      /// The window is what stood before it in the archive, at most 32 KiB, which it may refer to.
      case block(bits: Int, window: [UInt8])
    }

    public init(
      blobRange: Range<Int64>, archiveRange: Range<Int64>, digest: Digest, covers: Coverage = .blob, start: Start = .fresh, skip: Int64 = 0
    ) {
      self.blobRange = blobRange
      self.archiveRange = archiveRange
      self.digest = digest
      self.covers = covers
      self.start = start
      self.skip = skip
    }
  }

  /// One entry of the archive.
  public struct Entry: Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable, Codable {
      case file, directory, symlink, hardlink, character, block, fifo
    }
    public var kind: Kind
    /// As bytes, as it stands in the archive.
    public var name: [UInt8]
    /// Where a link leads; empty otherwise.
    public var link: [UInt8] = []
    /// The lower twelve bits.
    public var mode: UInt32
    public var owner: UInt32
    public var group: UInt32
    /// Seconds since 1970 and nanoseconds.
    public var seconds: Int64
    public var nanoseconds: Int32
    public var major: UInt32 = 0
    public var minor: UInt32 = 0
    public var attributes: [Attribute] = []
    /// Length of the file in bytes, holes included.
    public var size: Int64 = 0
    /// Where its bytes are in the archive; what is in none of them is zero. One for a usual file, none for an empty one.
    public var pieces: [Piece] = []
    /// SHA-256 of the whole file; nil for what is none, and for one with more than 1 GiB of holes.
    public var digest: Digest?

    public init(kind: Kind, name: [UInt8], mode: UInt32, owner: UInt32, group: UInt32, seconds: Int64, nanoseconds: Int32) {
      self.kind = kind
      self.name = name
      self.mode = mode
      self.owner = owner
      self.group = group
      self.seconds = seconds
      self.nanoseconds = nanoseconds
    }

    /// For messages.
    public var text: String { String(decoding: name, as: UTF8.self) }
  }

  public struct Attribute: Sendable, Hashable {
    public var name: String
    public var value: [UInt8]
    public init(name: String, value: [UInt8]) {
      self.name = name
      self.value = value
    }
  }

  /// `count` bytes of a file, from `offset` on, that lie in the archive from `place` on.
  public struct Piece: Sendable, Hashable {
    public var offset: Int64
    public var place: Int64
    public var count: Int64
    public init(offset: Int64, place: Int64, count: Int64) {
      self.offset = offset
      self.place = place
      self.count = count
    }
  }

  /// The places in `spans` of those that hold these bytes of the archive.
  public func spans(holding range: Range<Int64>) -> Range<Int> {
    if range.isEmpty { return 0..<0 }
    func first(endingAfter place: Int64) -> Int {
      var (low, high) = (0, spans.count)
      while low < high {
        let middle = (low + high) / 2
        if spans[middle].archiveRange.upperBound > place { high = middle } else { low = middle + 1 }
      }
      return low
    }
    return first(endingAfter: range.lowerBound)..<min(first(endingAfter: range.upperBound - 1) + 1, spans.count)
  }

  /// The entry that stands last under this name, as a reader of the archive would have it.
  public func entry(named name: [UInt8]) -> Entry? {
    let wanted = Self.plain(name)
    return entries.last { Self.plain($0.name) == wanted }
  }
  /// Without what does not matter: a leading `./` or `/`, and slashes at the end.
  public static func plain(_ name: [UInt8]) -> [UInt8] {
    Array(name.split(separator: UInt8(ascii: "/")).filter { $0 != [UInt8(ascii: ".")] }.joined(separator: [UInt8(ascii: "/")]))
  }
}
