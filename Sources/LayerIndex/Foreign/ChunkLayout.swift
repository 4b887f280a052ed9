import Hashing
import Protocols

/// Lays the chunks of files one behind the other, in the order in which they stand in the blob, and makes a span of each.
struct ChunkLayout {
  private struct Chunk {
    var file: Int
    /// Of the file.
    var offset: Int64
    var count: Int64
    var blobStart: Int64
    var skip: Int64
    /// Where it ends at the latest.
    var blobEnd: Int64
    var digest: Digest
  }
  /// What is unpacked in front of a chunk at most. Who makes such layers puts some MiB into one member; one of hundreds would keep the threads that unpack for
  /// everybody's layers.
  static let deepest: Int64 = 64 << 20
  private let source: ForeignIndex.Source
  private let end: Int64
  private var entries: [LayerIndex.Entry] = []
  private var chunks: [Chunk] = []
  /// Wherever a member or a frame begins: there the one before has ended.
  private var starts: [Int64] = []
  private var row: ContentsTable.Row?
  private var reached: Int64 = 0

  init(source: ForeignIndex.Source, end: Int64) {
    self.source = source
    self.end = end
  }

  /// Files with bytes, so far.
  var files: [Int] { entries.indices.filter { entries[$0].size > 0 } }

  mutating func add(_ entry: LayerIndex.Entry, _ row: ContentsTable.Row) throws {
    try close()
    entries.append(entry)
    if entry.kind != .file { return }
    (self.row, reached) = (row, 0)
    if entry.size > 0 { try place(row) }
  }

  mutating func add(chunk: ContentsTable.Row) throws {
    guard let row, let entry = entries.last, entry.size > 0 else { throw source.wrong("a chunk of \"\(chunk.name ?? "")\" follows no file") }
    if let name = chunk.name, !name.isEmpty, name != row.name { throw source.wrong("a chunk of \"\(name)\" follows \"\(entry.text)\"") }
    try place(chunk)
  }

  /// A file that is not shown; where it begins, others end.
  mutating func skip(_ row: ContentsTable.Row) throws {
    try close()
    if let offset = row.offset, offset > 0 { starts.append(offset) }
  }

  private mutating func place(_ chunk: ContentsTable.Row) throws {
    let file = entries.count - 1
    let (text, size) = (entries[file].text, entries[file].size)
    let (offset, start, skip) = (chunk.chunkOffset ?? 0, chunk.offset ?? 0, chunk.innerOffset ?? 0)
    let count = (chunk.chunkSize ?? 0) > 0 ? chunk.chunkSize ?? 0 : size - reached
    if offset != reached || count <= 0 || count > size - reached {
      throw source.wrong("\"\(text)\" has \(size) bytes, and a chunk of \(count) at \(offset), where \(reached) are told before")
    }
    if start < 0 || start >= end || skip < 0 { throw source.wrong("\"\(text)\" lies at \(start), \(skip), where the files end at \(end)") }
    if skip > Self.deepest {
      throw ContainerdError.notImplemented(
        "blob \(source.blob): \(skip) bytes are packed in front of \"\(text)\" and would be unpacked for each of its chunks, more than \(Self.deepest)")
    }
    starts.append(start)
    reached += count
    let type = chunk.chunkType ?? ""
    if type == "zeros" { return }
    if !type.isEmpty { throw source.wrong("\"\(text)\" has a chunk of the unknown type \"\(type)\"") }
    // The only chunk of a file needs no digest of its own.
    var digest = count == size ? entries[file].digest : nil
    if let own = chunk.chunkDigest, !own.isEmpty { digest = try Digest(parsing: own) }
    guard let digest else { throw ContainerdError.notImplemented("blob \(source.blob): \"\(text)\" has a chunk without a digest") }
    chunks.append(Chunk(file: file, offset: offset, count: count, blobStart: start, skip: skip, blobEnd: row?.endOffset ?? 0, digest: digest))
  }

  private mutating func close() throws {
    if let row, let entry = entries.last, reached != entry.size {
      throw source.wrong("\"\(row.name ?? "")\" has \(entry.size) bytes, and its chunks \(reached)")
    }
    row = nil
  }

  mutating func finish() throws -> (spans: [LayerIndex.Span], entries: [LayerIndex.Entry], size: Int64) {
    try close()
    starts.sort()
    let order = chunks.indices.sorted { (chunks[$0].blobStart, chunks[$0].skip, $0) < (chunks[$1].blobStart, chunks[$1].skip, $1) }
    var places = [Int64](repeating: 0, count: chunks.count)
    var spans: [LayerIndex.Span] = []
    spans.reserveCapacity(chunks.count)
    var size: Int64 = 0
    var next = 0
    for number in order {
      let chunk = chunks[number]
      while next < starts.count, starts[next] <= chunk.blobStart { next += 1 }
      var blobEnd = next < starts.count ? min(starts[next], end) : end
      if chunk.blobEnd > chunk.blobStart { blobEnd = min(blobEnd, chunk.blobEnd) }
      let (archiveEnd, overflow) = size.addingReportingOverflow(chunk.count)
      if overflow { throw source.wrong("its files are too large") }
      spans.append(
        LayerIndex.Span(
          blobRange: chunk.blobStart..<blobEnd, archiveRange: size..<archiveEnd, digest: chunk.digest, covers: .archive, skip: chunk.skip))
      places[number] = size
      size = archiveEnd
    }
    for (number, chunk) in chunks.enumerated() {
      let last = entries[chunk.file].pieces.count - 1
      if last >= 0 {
        let piece = entries[chunk.file].pieces[last]
        if piece.offset + piece.count == chunk.offset, piece.place + piece.count == places[number] {
          entries[chunk.file].pieces[last].count += chunk.count
          continue
        }
      }
      entries[chunk.file].pieces.append(LayerIndex.Piece(offset: chunk.offset, place: places[number], count: chunk.count))
    }
    // A layer of directories and links has no bytes of files. It is a layer all the same, with one span of nothing.
    if spans.isEmpty { spans.append(LayerIndex.Span(blobRange: 0..<0, archiveRange: 0..<0, digest: Digest.of([]), covers: .archive)) }
    return (spans, entries, size)
  }
}
