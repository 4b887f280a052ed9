import FoundationEssentials
import Protocols

/// The table of an index as JSON: short names, and nothing that is usual.
struct Table: Codable {
  var blob: String
  var size: Int64
  var packing: LayerIndex.Packing
  var diffID: String?
  /// nil for a tar archive.
  var archive: LayerIndex.Archive?
  var archiveSize: Int64
  var spans: [Span]
  var entries: [Entry]
  var prefetch: [Int]?

  /// The oldest version of the file that knows what is in the table.
  var version: UInt64 {
    let isNew = packing == .zstd || diffID == nil || archive != nil || prefetch != nil || spans.contains { $0.covers != nil || $0.skip != nil }
    return isNew ? 2 : 1
  }

  struct Span: Codable {
    /// Begin and end.
    var blob: [Int64]
    /// The end; the beginning is the end of the one before.
    var archive: Int64
    var digest: String
    /// nil if the digest is of the blob's bytes.
    var covers: LayerIndex.Span.Coverage?
    var skip: Int64?
    /// Of one that begins in front of a block.
    var bits: Int?
    /// Length of the window, packed and unpacked.
    var window: [Int]?
  }

  struct Entry: Codable {
    var kind: LayerIndex.Entry.Kind
    var name: String?
    /// Where the name is no UTF-8: base64.
    var nameBytes: Data?
    var link: String?
    var linkBytes: Data?
    var mode: UInt32
    var owner: UInt32?
    var group: UInt32?
    var seconds: Int64
    var nanoseconds: Int32?
    var device: [UInt32]?
    var attributes: [String: Data]?
    var size: Int64?
    /// Where the bytes of a usual file are in the archive.
    var place: Int64?
    /// Of one with holes: offset, place, count.
    var pieces: [[Int64]]?
    var digest: String?

    init(_ entry: LayerIndex.Entry) {
      kind = entry.kind
      if let text = String(validating: entry.name, as: UTF8.self) { name = text } else { nameBytes = Data(entry.name) }
      if !entry.link.isEmpty { if let text = String(validating: entry.link, as: UTF8.self) { link = text } else { linkBytes = Data(entry.link) } }
      mode = entry.mode
      owner = entry.owner == 0 ? nil : entry.owner
      group = entry.group == 0 ? nil : entry.group
      seconds = entry.seconds
      nanoseconds = entry.nanoseconds == 0 ? nil : entry.nanoseconds
      if entry.kind == .character || entry.kind == .block { device = [entry.major, entry.minor] }
      if !entry.attributes.isEmpty { attributes = Dictionary(entry.attributes.map { ($0.name, Data($0.value)) }) { $1 } }
      if entry.kind == .file {
        size = entry.size
        if let only = entry.pieces.first, entry.pieces.count == 1, only.offset == 0, only.count == entry.size {
          place = only.place
        } else if !entry.pieces.isEmpty {
          pieces = entry.pieces.map { [$0.offset, $0.place, $0.count] }
        }
        digest = entry.digest.map { "\($0)" }
      }
    }

    func entry() throws(ContainerdError) -> LayerIndex.Entry {
      guard let name = name.map({ Array($0.utf8) }) ?? nameBytes.map({ Array($0) }) else { throw .invalidArgument("layer index: an entry has no name") }
      var entry = LayerIndex.Entry(
        kind: kind, name: name, mode: mode & 0o7777, owner: owner ?? 0, group: group ?? 0, seconds: seconds, nanoseconds: nanoseconds ?? 0)
      entry.link = link.map { Array($0.utf8) } ?? linkBytes.map { Array($0) } ?? []
      if let device, device.count == 2 { (entry.major, entry.minor) = (device[0], device[1]) }
      entry.attributes = (attributes ?? [:]).map { LayerIndex.Attribute(name: $0.key, value: Array($0.value)) }.sorted { $0.name < $1.name }
      entry.size = size ?? 0
      if let place, entry.size > 0 { entry.pieces = [LayerIndex.Piece(offset: 0, place: place, count: entry.size)] }
      for piece in pieces ?? [] {
        guard piece.count == 3 else { throw .invalidArgument("layer index: \"\(entry.text)\" has a piece of \(piece.count) numbers") }
        entry.pieces.append(LayerIndex.Piece(offset: piece[0], place: piece[1], count: piece[2]))
      }
      if let digest { entry.digest = try Digest(parsing: digest) }
      return entry
    }
  }

  func index(windows: ArraySlice<UInt8>) throws(ContainerdError) -> LayerIndex {
    var rest = windows
    var end: Int64 = 0
    var made: [LayerIndex.Span] = []
    for span in spans {
      guard span.blob.count == 2, span.blob[0] >= 0, span.blob[0] <= span.blob[1], span.archive >= end else {
        throw .invalidArgument("layer index: a span from \(span.blob) ends at \(span.archive) behind \(end)")
      }
      var start = LayerIndex.Span.Start.fresh
      if let bits = span.bits {
        guard let lengths = span.window, lengths.count == 2, (0...rest.count).contains(lengths[0]), (0...CheckpointingInflater.windowSize).contains(lengths[1])
        else { throw .invalidArgument("layer index: a window of \(span.window ?? []) bytes") }
        start = .block(bits: bits, window: try IndexFile.unpack(rest.prefix(lengths[0]), count: lengths[1]))
        rest = rest.dropFirst(lengths[0])
      }
      made.append(
        LayerIndex.Span(
          blobRange: span.blob[0]..<span.blob[1], archiveRange: end..<span.archive, digest: try Digest(parsing: span.digest), covers: span.covers ?? .blob,
          start: start, skip: span.skip ?? 0))
      end = span.archive
    }
    if !rest.isEmpty { throw .invalidArgument("layer index: \(rest.count) bytes of windows belong to no span") }
    var found: [LayerIndex.Entry] = []
    for entry in entries { found.append(try entry.entry()) }
    var whole: Digest?
    if let diffID { whole = try Digest(parsing: diffID) }
    return LayerIndex(
      blob: try Digest(parsing: blob), size: size, packing: packing, diffID: whole, archive: archive ?? .tar, archiveSize: archiveSize, spans: made,
      entries: found, prefetch: prefetch ?? [])
  }
}
