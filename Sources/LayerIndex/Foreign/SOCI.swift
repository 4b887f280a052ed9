import Protocols

/// SOCI's ztoc: a FlatBuffer with the entries of an unmodified layer, digests of spans of the blob, and places to begin at
/// (soci-snapshotter, ztoc/fbs/ztoc.fbs and ztoc/compression). Places of files are those of the tar archive.
enum SOCI {
  private static let mostBytes = 1 << 30
  private static let window = 32 << 10

  static func index(ztoc bytes: [UInt8], blob: Digest, size: Int64, diffID: Digest?) throws(ContainerdError) -> LayerIndex {
    var buffer = FlatBuffer(bytes, "ztoc of \(blob)")
    if bytes.count > mostBytes { throw buffer.wrong("it has \(bytes.count) bytes; \(mostBytes) are the most") }
    let root = try buffer.root()
    let version = String(decoding: try buffer.string(root, 0), as: UTF8.self)
    if version != "0.9" { throw buffer.wrong("it is of version \"\(version)\"; this program reads 0.9") }
    let (packedSize, archiveSize) = (try buffer.int64(root, 2), try buffer.int64(root, 3))
    if packedSize != size { throw buffer.wrong("it is of a layer of \(packedSize) bytes, not of \(size)") }
    guard let toc = try buffer.table(root, 4), let information = try buffer.table(root, 5) else { throw buffer.wrong("it has no table or no spans") }
    let digests = try digests(&buffer, information)
    let checkpoints = try buffer.vector(information, 3, width: 1).map { buffer.bytes($0) } ?? []
    var index: LayerIndex
    // Uncompressed is 2, and gzip is what stands where nothing is said.
    switch try buffer.int8(information, 0, usually: 1) {
    case 1:
      let points = try points(checkpoints, buffer)
      index = LayerIndex(
        blob: blob, size: size, packing: .gzip, diffID: diffID, archive: .beginning, archiveSize: archiveSize,
        spans: try spans(points, digests, size: size, archiveSize: archiveSize, buffer), entries: [])
    case 2:
      index = LayerIndex(
        blob: blob, size: size, packing: .plain, diffID: diffID, archiveSize: size, spans: try spans(plain: checkpoints, digests, size: size, buffer),
        entries: [])
    case let other: throw .notImplemented("\(buffer.what): layers packed in the way \(other)")
    }
    index.entries = try entries(&buffer, toc)
    try index.check()
    return index
  }

  // MARK: spans

  private static func digests(_ buffer: inout FlatBuffer, _ information: FlatBuffer.Table) throws(ContainerdError) -> [Digest] {
    guard let vector = try buffer.vector(information, 2, width: 4) else { throw buffer.wrong("it has no digests") }
    var digests: [Digest] = []
    for number in 0..<vector.count { digests.append(try Digest(parsing: String(decoding: try buffer.string(vector, number), as: UTF8.self))) }
    let last = try buffer.int32(information, 1)
    if Int(last) != digests.count - 1 { throw buffer.wrong("its last span is \(last), and there are \(digests.count) digests") }
    return digests
  }

  private struct Point {
    var blob: Int64
    var archive: Int64
    var bits: Int
    var window: [UInt8]
  }

  /// Count (4 bytes), span size (8), and of each point the place behind the byte it begins in (8), the one in the archive (8), bits (1), and a window
  /// of 32 KiB of which the last bytes count. At first the first point was left out, which is behind a header of gzip of ten bytes.
  private static func points(_ bytes: ArraySlice<UInt8>, _ buffer: FlatBuffer) throws(ContainerdError) -> [Point] {
    let (head, each) = (12, 17 + window)
    func number(_ place: Int, _ count: Int) -> UInt64 { (0..<count).reduce(0) { $0 | UInt64(bytes[bytes.startIndex + place + $1]) << (8 * $1) } }
    guard bytes.count >= head else { throw buffer.wrong("its checkpoints have \(bytes.count) bytes") }
    let count = Int(number(0, 4))
    var points: [Point] = []
    if count > 0, bytes.count == head + each * (count - 1) {
      points.append(Point(blob: 10, archive: 0, bits: 0, window: []))
    } else if count == 0 || bytes.count != head + each * count {
      throw buffer.wrong("its \(count) checkpoints have \(bytes.count) bytes")
    }
    for place in stride(from: head, to: bytes.count, by: each) {
      let (blob, archive, bits) = (Int64(bitPattern: number(place, 8)), Int64(bitPattern: number(place + 8, 8)), Int(number(place + 16, 1)))
      if blob < 1 || archive < 0 || bits > 7 { throw buffer.wrong("a checkpoint at \(blob), \(bits) bits, for \(archive)") }
      let end = bytes.startIndex + place + each
      points.append(Point(blob: blob, archive: archive, bits: bits, window: Array(bytes[end - Int(min(archive, Int64(window)))..<end])))
    }
    return points
  }

  private static func spans(
    _ points: [Point], _ digests: [Digest], size: Int64, archiveSize: Int64, _ buffer: FlatBuffer
  ) throws(ContainerdError) -> [LayerIndex.Span] {
    if points.count != digests.count { throw buffer.wrong("it has \(points.count) checkpoints and \(digests.count) digests") }
    var spans: [LayerIndex.Span] = []
    for (number, point) in points.enumerated() {
      let isLast = number == points.count - 1
      // The byte that two spans share counts for both.
      let begin = point.blob - (point.bits > 0 ? 1 : 0)
      let (blobEnd, archiveEnd) = isLast ? (size, archiveSize) : (points[number + 1].blob, points[number + 1].archive)
      if begin > blobEnd || point.archive > archiveEnd {
        throw buffer.wrong("span \(number) is from \(begin) to \(blobEnd), \(point.archive) to \(archiveEnd)")
      }
      spans.append(
        LayerIndex.Span(
          blobRange: begin..<blobEnd, archiveRange: point.archive..<archiveEnd, digest: digests[number], start: .block(bits: point.bits, window: point.window)))
    }
    return spans
  }

  /// A FlatBuffer of version, span size and size.
  private static func spans(
    plain bytes: ArraySlice<UInt8>, _ digests: [Digest], size: Int64, _ buffer: FlatBuffer
  ) throws(ContainerdError) -> [LayerIndex.Span] {
    let inner = FlatBuffer(Array(bytes), "\(buffer.what), spans")
    let root = try inner.root()
    let (each, whole) = (try inner.int64(root, 1), try inner.int64(root, 2))
    if whole != size || each <= 0 || size == 0 || (size - 1) / each + 1 != digests.count {
      throw buffer.wrong("\(digests.count) spans of \(each) bytes for a layer of \(whole), where it has \(size)")
    }
    return digests.enumerated().map { number, digest in
      let begin = Int64(number) * each
      let range = begin..<(number == digests.count - 1 ? size : begin + each)
      return LayerIndex.Span(blobRange: range, archiveRange: range, digest: digest)
    }
  }

  // MARK: entries

  private static func entries(_ buffer: inout FlatBuffer, _ toc: FlatBuffer.Table) throws(ContainerdError) -> [LayerIndex.Entry] {
    guard let rows = try buffer.vector(toc, 0, width: 4) else { return [] }
    if rows.count > ForeignIndex.mostEntries { throw buffer.wrong("it has \(rows.count) entries") }
    var entries: [LayerIndex.Entry] = []
    for number in 0..<rows.count { entries.append(try entry(&buffer, try buffer.table(rows, number))) }
    return entries
  }

  private static func entry(_ buffer: inout FlatBuffer, _ row: FlatBuffer.Table) throws(ContainerdError) -> LayerIndex.Entry {
    let name = try buffer.string(row, 0)
    let text = String(decoding: name, as: UTF8.self)
    let type = String(decoding: try buffer.string(row, 1), as: UTF8.self)
    let kinds: [String: LayerIndex.Entry.Kind] = [
      "reg": .file, "dir": .directory, "symlink": .symlink, "hardlink": .hardlink, "char": .character, "block": .block, "fifo": .fifo,
    ]
    guard let kind = kinds[type] else { throw buffer.wrong("\"\(text)\" is of the unknown type \"\(type)\"") }
    if name.isEmpty { throw buffer.wrong("a \(type) has no name") }
    let (owner, group) = (try buffer.uint32(row, 6), try buffer.uint32(row, 7))
    if owner == .max || group == .max { throw buffer.wrong("\"\(text)\": owner \(owner):\(group) is out of range") }
    let moment = try buffer.string(row, 10)
    guard let time = Timestamp(moment) else { throw buffer.wrong("\"\(text)\" is from \"\(String(decoding: moment, as: UTF8.self))\", which is no time") }
    var entry = LayerIndex.Entry(
      kind: kind, name: name, mode: UInt32(truncatingIfNeeded: try buffer.int64(row, 5)) & 0o7777, owner: owner, group: group, seconds: time.seconds,
      nanoseconds: time.nanoseconds)
    if kind == .symlink || kind == .hardlink { entry.link = try buffer.string(row, 4) }
    if kind == .character || kind == .block {
      guard let major = UInt32(exactly: try buffer.int64(row, 11)), let minor = UInt32(exactly: try buffer.int64(row, 12)) else {
        throw buffer.wrong("\"\(text)\": its device is out of range")
      }
      (entry.major, entry.minor) = (major, minor)
    }
    if let records = try buffer.vector(row, 13, width: 4) { entry.attributes = try attributes(&buffer, records, text) }
    if kind == .file {
      let place = try buffer.int64(row, 2)
      entry.size = try buffer.int64(row, 3)
      if entry.size > 0 { entry.pieces = [LayerIndex.Piece(offset: 0, place: place, count: entry.size)] }
    }
    return entry
  }

  /// Out of pax records, whatever they are (pax, "SCHILY.xattr.").
  private static func attributes(
    _ buffer: inout FlatBuffer, _ records: FlatBuffer.Vector, _ text: String
  ) throws(ContainerdError) -> [LayerIndex.Attribute] {
    var attributes: [LayerIndex.Attribute] = []
    for number in 0..<records.count {
      let record = try buffer.table(records, number)
      let (key, value) = (String(decoding: try buffer.string(record, 0), as: UTF8.self), try buffer.string(record, 1))
      // The ztoc tells the length with the holes, and not where they are.
      if key.hasPrefix("GNU.sparse.") { throw .notImplemented("\(buffer.what): \"\(text)\" is a sparse file") }
      let prefix = "SCHILY.xattr."
      if key.hasPrefix(prefix) { attributes.append(LayerIndex.Attribute(name: String(key.dropFirst(prefix.count)), value: value)) }
    }
    return attributes.sorted { $0.name < $1.name }
  }
}
