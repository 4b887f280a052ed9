import Hashing
import Protocols

/// The spans of a layer in the order in which somebody first needed them, as a file or as a blob in a registry.
///
///     8 bytes   "CRACCESS"
///     4 bytes   version: 1
///     4 bytes   how many spans
///     32 bytes  SHA-256 of what it belongs to: the layer's digest, and where its spans lie
///     the spans: each as the difference to the one before, the sign in the lowest bit, seven bits a byte, the low ones first
///     32 bytes  SHA-256 of all before
///
/// Numbers are little-endian. A list that lies costs traffic and nothing else: what is fetched by it is checked as everything is.
public struct AccessList: Sendable, Hashable {
  public static let mediaType = "application/vnd.containerd-ref.access-list.v1"
  /// Spans that a list has at most.
  public static let most = 16_384
  /// Bytes that an encoded list has at most.
  public static let mostBytes = head + most * 5 + 32
  private static let magic = Array("CRACCESS".utf8)
  private static let version: UInt32 = 1
  private static let head = 48

  /// Each once.
  public var spans: [Int]

  /// What a list belongs to.
  public struct Table: Sendable, Hashable {
    public let layer: Digest
    public let count: Int
    fileprivate let digest: Digest

    public init(_ index: LayerIndex) {
      self.init(index.blob, index.spans.count) { (index.spans[$0].blobRange, index.spans[$0].archiveRange) }
    }

    public init(_ spans: SpanTable) { self.init(spans.blob, spans.count) { (spans.blobRange($0), spans.archiveRange($0)) } }

    private init(_ layer: Digest, _ count: Int, _ ranges: (Int) -> (Range<Int64>, Range<Int64>)) {
      self.layer = layer
      self.count = count
      var hasher = Hasher(.sha256)
      hasher.update(Array("\(layer) \(count)\n".utf8))
      for number in 0..<count {
        let (blob, archive) = ranges(number)
        hasher.update(Array("\(blob.lowerBound) \(blob.upperBound) \(archive.upperBound)\n".utf8))
      }
      digest = hasher.digest()
    }
  }

  public init(_ spans: [Int]) { self.spans = spans }

  /// `invalidArgument` for what is no list, damaged, too long, or of another layer or other spans.
  public init(decoding bytes: [UInt8], of table: Table) throws(ContainerdError) {
    guard bytes.count >= Self.head + 32, Array(bytes[0..<8]) == Self.magic else { throw .invalidArgument("not a list of spans") }
    if bytes.count > Self.mostBytes { throw .invalidArgument("a list of spans has \(bytes.count) bytes, at most \(Self.mostBytes) expected") }
    let (version, count) = (Self.number(bytes, 8), Self.number(bytes, 12))
    if version != Self.version { throw .invalidArgument("a list of spans of version \(version); this program reads \(Self.version)") }
    let end = bytes.count - 32
    if Digest.of(Array(bytes[..<end])).bytes != Array(bytes[end...]) { throw .invalidArgument("a list of spans is damaged: its digest is another") }
    if Array(bytes[16..<Self.head]) != table.digest.bytes { throw .invalidArgument("a list of spans is of another layer, or of other spans of it") }
    if count > Self.most { throw .invalidArgument("a list of \(count) spans, at most \(Self.most) expected") }
    var (place, last, seen) = (Self.head, 0, Set<Int>())
    spans = []
    for _ in 0..<count {
      var (value, shift) = (UInt64(0), UInt64(0))
      while true {
        guard place < end, shift < 35 else { throw .invalidArgument("a list of spans ends in the middle of one") }
        value |= UInt64(bytes[place] & 0x7f) << shift
        place += 1
        if bytes[place - 1] < 0x80 { break }
        shift += 7
      }
      last += value & 1 == 0 ? Int(value >> 1) : -Int(value >> 1)
      guard last >= 0, last < table.count else { throw .invalidArgument("a list of spans has span \(last), the layer has \(table.count)") }
      if !seen.insert(last).inserted { throw .invalidArgument("a list of spans has span \(last) twice") }
      spans.append(last)
    }
    if place != end { throw .invalidArgument("a list of \(count) spans has more than these") }
  }

  /// Spans beyond the most are left out.
  public func encode(for table: Table) -> [UInt8] {
    var bytes = Self.magic
    let spans = spans.prefix(Self.most)
    for value in [Self.version, UInt32(spans.count)] { for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(value >> shift & 0xff)) } }
    bytes += table.digest.bytes
    var last = 0
    for span in spans {
      var value = span >= last ? UInt64(span - last) << 1 : UInt64(last - span) << 1 | 1
      while value >= 0x80 {
        bytes.append(UInt8(value & 0x7f) | 0x80)
        value >>= 7
      }
      bytes.append(UInt8(value))
      last = span
    }
    return bytes + Digest.of(bytes).bytes
  }

  private static func number(_ bytes: [UInt8], _ place: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << (8 * UInt32($1)) }
  }
}
