import CZlib
import CZstd
import FoundationEssentials
import Hashing
import Protocols

/// An index as a file, or as a blob in a registry. `docs/layer-index.md` describes the form.
///
///     8 bytes   "CRLINDEX"
///     4 bytes   version: 1, or 2 where the table has what version 1 does not know
///     8 bytes   length of the table
///     8 bytes   length of the windows
///     the table: JSON, in one frame of zstd
///     the windows, one behind the other, each packed by zlib
///     32 bytes  SHA-256 of all before
///
/// Numbers are little-endian.
public enum IndexFile {
  public static let mediaType = "application/vnd.containerd-ref.layer-index.v1"
  private static let magic = Array("CRLINDEX".utf8)
  private static let newest: UInt64 = 2
  private static let head = 28
  /// A table that unpacks to more is refused: some million entries.
  private static let mostTable = 1 << 30

  public static func encode(_ index: LayerIndex) throws -> [UInt8] {
    var windows: [UInt8] = []
    var spans: [Table.Span] = []
    for span in index.spans {
      var row = Table.Span(
        blob: [span.blobRange.lowerBound, span.blobRange.upperBound], archive: span.archiveRange.upperBound, digest: "\(span.digest)",
        covers: span.covers == .blob ? nil : span.covers, skip: span.skip == 0 ? nil : span.skip)
      if case .block(let bits, let window) = span.start {
        let packed = try pack(window)
        row.bits = bits
        row.window = [packed.count, window.count]
        windows += packed
      }
      spans.append(row)
    }
    let table = Table(
      blob: "\(index.blob)", size: index.size, packing: index.packing, diffID: index.diffID.map { "\($0)" },
      archive: index.archive == .tar ? nil : index.archive, archiveSize: index.archiveSize, spans: spans, entries: index.entries.map(Table.Entry.init),
      prefetch: index.prefetch.isEmpty ? nil : index.prefetch)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let packed = try compress(Array(try encoder.encode(table)))
    var bytes = magic
    append(table.version, 4, to: &bytes)
    append(UInt64(packed.count), 8, to: &bytes)
    append(UInt64(windows.count), 8, to: &bytes)
    bytes += packed + windows
    return bytes + Digest.of(bytes).bytes
  }

  /// `invalidArgument` for what is no index, damaged, or not sound in itself.
  public static func decode(_ bytes: [UInt8]) throws(ContainerdError) -> LayerIndex {
    guard bytes.count >= head + 32, Array(bytes[0..<8]) == magic else { throw .invalidArgument("not a layer index") }
    let version = number(bytes, 8, 4)
    guard (1...newest).contains(version) else { throw .invalidArgument("a layer index of version \(version); this program reads 1 to \(newest)") }
    let (tableSize, windowsSize) = (number(bytes, 12, 8), number(bytes, 20, 8))
    let room = UInt64(bytes.count - head - 32)
    guard tableSize <= room, windowsSize == room - tableSize else {
      throw .invalidArgument("layer index of \(bytes.count) bytes: it says that \(tableSize) and \(windowsSize) are in it")
    }
    if Digest.of(Array(bytes.dropLast(32))).bytes != Array(bytes.suffix(32)) { throw .invalidArgument("layer index is damaged: its checksum is wrong") }
    let middle = head + Int(tableSize)
    let table: Table
    do {
      table = try JSONDecoder().decode(Table.self, from: Data(try decompress(Array(bytes[head..<middle]))))
    } catch let error as ContainerdError { throw error } catch { throw .invalidArgument("layer index: its table cannot be read: \(error)") }
    if table.version > version { throw .invalidArgument("a layer index of version \(version) has what only version \(table.version) knows") }
    let index = try table.index(windows: bytes[middle..<bytes.count - 32])
    try index.check()
    return index
  }

  // MARK: packing

  static func pack(_ window: [UInt8]) throws(ContainerdError) -> [UInt8] {
    var count = compressBound(UInt(window.count))
    var packed = [UInt8](repeating: 0, count: Int(count))
    if compress2(&packed, &count, window, UInt(window.count), 6) != Z_OK { throw ContainerdError(.resourceExhausted, "zlib: a window cannot be packed") }
    return Array(packed.prefix(Int(count)))
  }

  static func unpack(_ packed: ArraySlice<UInt8>, count: Int) throws(ContainerdError) -> [UInt8] {
    var window = [UInt8](repeating: 0, count: count)
    var length = UInt(count)
    let status = packed.withUnsafeBufferPointer { uncompress(&window, &length, $0.baseAddress, UInt($0.count)) }
    if status != Z_OK || length != UInt(count) { throw .invalidArgument("layer index: a window of \(count) bytes cannot be unpacked") }
    return window
  }

  private static func compress(_ bytes: [UInt8]) throws(ContainerdError) -> [UInt8] {
    var packed = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
    let count = ZSTD_compress(&packed, packed.count, bytes, bytes.count, 3)
    if ZSTD_isError(count) != 0 { throw ContainerdError(.resourceExhausted, "zstd: \(String(cString: ZSTD_getErrorName(count)))") }
    return Array(packed.prefix(count))
  }

  private static func decompress(_ bytes: [UInt8]) throws(ContainerdError) -> [UInt8] {
    let size = ZSTD_getFrameContentSize(bytes, bytes.count)
    // The two highest values say that the size is not told, and that this is no frame.
    guard size <= UInt64(mostTable) else { throw .invalidArgument("layer index: its table is no frame of zstd, or too large") }
    var unpacked = [UInt8](repeating: 0, count: Int(size))
    let count = ZSTD_decompress(&unpacked, unpacked.count, bytes, bytes.count)
    if ZSTD_isError(count) != 0 || count != unpacked.count { throw .invalidArgument("layer index: its table cannot be unpacked") }
    return unpacked
  }

  private static func append(_ value: UInt64, _ count: Int, to bytes: inout [UInt8]) {
    for place in 0..<count { bytes.append(UInt8(value >> (8 * place) & 255)) }
  }
  private static func number(_ bytes: [UInt8], _ place: Int, _ count: Int) -> UInt64 {
    (0..<count).reduce(0) { $0 | UInt64(bytes[place + $1]) << (8 * $1) }
  }
}
