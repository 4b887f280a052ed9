import CLinux
import Hashing
import Protocols
import SystemKit

/// The spans of an index in a file that is mapped, not read: what a server keeps at hand for every layer, however many there are.
///
///     64 bytes  "CRSPANS1", count, size of the blob, size of the archive, packing, what the archive is; the rest is zero
///     88 bytes  for each span: begin and end in the blob, end in the archive, place of its window; length of the window as it lies here and
///               unpacked; how it starts, bits, what its digest covers, 5 bytes of zero; bytes to skip; SHA-256
///     the windows, packed by zlib
///
/// Numbers are as the machine has them: the file is of use where it was made. Safe from any thread.
public final class SpanTable: @unchecked Sendable {
  private static let magic = Array("CRSPANS1".utf8)
  private static let head = 64
  private static let row = 88

  private let map: MappedFile
  /// How many spans there are; at least one.
  public let count: Int
  public let blob: Digest
  public let size: Int64
  public let archiveSize: Int64
  public let packing: LayerIndex.Packing
  public let archive: LayerIndex.Archive

  /// Maps a file that `encode` made. `dataLoss` if it is none.
  public init(path: String, blob: Digest) throws(ContainerdError) {
    do { map = try MappedFile(path: path) } catch { throw ContainerdError(error, "spans of \(blob)") }
    self.blob = blob
    let bytes = map.bytes
    guard bytes.count >= Self.head, Array(bytes[0..<8]) == Self.magic else { throw ContainerdError(.dataLoss, "\(path): no table of spans") }
    let count = bytes.loadUnaligned(fromByteOffset: 8, as: Int64.self)
    size = bytes.loadUnaligned(fromByteOffset: 16, as: Int64.self)
    archiveSize = bytes.loadUnaligned(fromByteOffset: 24, as: Int64.self)
    guard count > 0, count <= Int64(bytes.count - Self.head) / Int64(Self.row), let packing = LayerIndex.Packing(number: bytes[32]),
      let archive = LayerIndex.Archive(number: bytes[40])
    else {
      throw ContainerdError(.dataLoss, "\(path): a table of \(count) spans in \(bytes.count) bytes")
    }
    self.count = Int(count)
    self.packing = packing
    self.archive = archive
    var (begin, end): (Int64, Int64) = (0, 0)
    for row in 0..<self.count {
      let (from, to, place) = (number(row, 0), number(row, 8), number(row, 16))
      if from < begin || to < from || to > size || place < end || place > archiveSize {
        throw ContainerdError(.dataLoss, "\(path): span \(row) is from \(from) to \(to), and ends at \(place) of \(archiveSize)")
      }
      (begin, end) = (from, place)
    }
  }

  public static func encode(_ index: LayerIndex) throws -> [UInt8] {
    var bytes = magic
    func append<Value: FixedWidthInteger>(_ value: Value) { withUnsafeBytes(of: value) { bytes += $0 } }
    append(Int64(index.spans.count))
    append(index.size)
    append(index.archiveSize)
    append(UInt64(index.packing.number))
    append(UInt64(index.archive.number))
    bytes += [UInt8](repeating: 0, count: head - bytes.count)
    var windows: [UInt8] = []
    let first = head + index.spans.count * row
    for span in index.spans {
      append(span.blobRange.lowerBound)
      append(span.blobRange.upperBound)
      append(span.archiveRange.upperBound)
      append(UInt64(first + windows.count))
      let covers: UInt64 = span.covers == .archive ? 1 << 16 : 0
      switch span.start {
      case .fresh:
        append(UInt64(0))
        append(covers)
      case .block(let bits, let window):
        let packed = try IndexFile.pack(window)
        windows += packed
        append(UInt32(packed.count))
        append(UInt32(window.count))
        append(UInt64(1 | bits << 8) | covers)
      }
      append(span.skip)
      // Whoever has asked `check` never sees this.
      if span.digest.algorithm != .sha256 { throw ContainerdError.invalidArgument("index of \(index.blob): a span has the digest \(span.digest)") }
      bytes += span.digest.bytes
    }
    return bytes + windows
  }

  /// Where the spans end in the archive: an `Int64` every `stride` bytes, for code that reads them without us, as long as we live.
  public var ends: (start: UnsafeRawPointer, stride: Int) { (map.bytes.baseAddress! + Self.head + 16, Self.row) }

  private func place(_ number: Int) -> Int { Self.head + number * Self.row }
  private func number(_ span: Int, _ offset: Int) -> Int64 { map.bytes.loadUnaligned(fromByteOffset: place(span) + offset, as: Int64.self) }

  public func blobRange(_ span: Int) -> Range<Int64> { number(span, 0)..<max(number(span, 0), number(span, 8)) }
  public func archiveRange(_ span: Int) -> Range<Int64> {
    let start = span == 0 ? 0 : number(span - 1, 16)
    return start..<max(start, number(span, 16))
  }

  /// A span with all that it takes to unpack it. `dataLoss` if the table is damaged.
  public func span(_ number: Int) throws(ContainerdError) -> LayerIndex.Span {
    let at = place(number)
    let bytes = map.bytes
    let form = bytes.loadUnaligned(fromByteOffset: at + 40, as: UInt64.self)
    var start = LayerIndex.Span.Start.fresh
    if form & 0xff == 1 {
      let window = bytes.loadUnaligned(fromByteOffset: at + 24, as: UInt64.self)
      let (packed, unpacked) = (bytes.loadUnaligned(fromByteOffset: at + 32, as: UInt32.self), bytes.loadUnaligned(fromByteOffset: at + 36, as: UInt32.self))
      guard window <= UInt64(bytes.count), UInt64(packed) <= UInt64(bytes.count) - window else {
        throw ContainerdError(.dataLoss, "spans of \(blob): the window of span \(number) lies outside of the table")
      }
      let slice = Array(bytes[Int(window)..<Int(window) + Int(packed)])
      start = .block(bits: Int(form >> 8 & 7), window: try IndexFile.unpack(slice[...], count: Int(unpacked)))
    }
    let digest = Digest(.sha256, hash: bytes[at + 56..<at + 88])
    return LayerIndex.Span(
      blobRange: blobRange(number), archiveRange: archiveRange(number), digest: digest, covers: form >> 16 & 1 == 1 ? .archive : .blob, start: start,
      skip: self.number(number, 48))
  }

  /// Unpacks a span whose bytes were fetched. `dataLoss` if they are not those that were indexed.
  public func unpack(_ number: Int, from bytes: [UInt8]) throws(ContainerdError) -> [UInt8] {
    let form = LayerIndex(blob: blob, size: size, packing: packing, diffID: nil, archive: archive, archiveSize: archiveSize, spans: [], entries: [])
    return try form.unpack(try span(number), from: bytes)
  }

  /// The spans that hold these bytes of the archive.
  public func spans(holding range: Range<Int64>) -> Range<Int> {
    if range.isEmpty { return 0..<0 }
    func first(endingAfter place: Int64) -> Int {
      var (low, high) = (0, count)
      while low < high {
        let middle = (low + high) / 2
        if number(middle, 16) > place { high = middle } else { low = middle + 1 }
      }
      return low
    }
    return first(endingAfter: range.lowerBound)..<min(first(endingAfter: range.upperBound - 1) + 1, count)
  }
}

extension LayerIndex.Packing {
  fileprivate static let numbers: [LayerIndex.Packing] = [.plain, .gzip, .zstd]
  fileprivate var number: Int { Self.numbers.firstIndex(of: self) ?? 255 }
  fileprivate init?(number: UInt8) {
    guard Int(number) < Self.numbers.count else { return nil }
    self = Self.numbers[Int(number)]
  }
}

extension LayerIndex.Archive {
  fileprivate static let numbers: [LayerIndex.Archive] = [.tar, .beginning, .contents]
  fileprivate var number: Int { Self.numbers.firstIndex(of: self) ?? 255 }
  fileprivate init?(number: UInt8) {
    guard Int(number) < Self.numbers.count else { return nil }
    self = Self.numbers[Int(number)]
  }
}
