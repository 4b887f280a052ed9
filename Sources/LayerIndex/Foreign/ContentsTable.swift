import FoundationEssentials
import Protocols

/// The table of contents that eStargz and zstd:chunked share, but for a few fields (stargz-snapshotter, docs/estargz.md; containers/storage, pkg/chunked).
struct ContentsTable: Decodable {
  var version: Int
  var entries: [Row]

  struct Row: Decodable {
    var type: String
    var name: String?
    var linkName: String?
    var size: Int64?
    var mode: Int64?
    var uid: Int64?
    var gid: Int64?
    var modtime: String?
    var devMajor: Int64?
    var devMinor: Int64?
    var xattrs: [String: Data]?
    var digest: String?
    /// Where in the blob the member or frame begins that has the bytes.
    var offset: Int64?
    /// zstd:chunked: where the file's last frame ends.
    var endOffset: Int64?
    /// eStargz: bytes of the member in front of those of the chunk.
    var innerOffset: Int64?
    var chunkOffset: Int64?
    /// 0 for one that goes to the end of the file.
    var chunkSize: Int64?
    var chunkDigest: String?
    /// zstd:chunked: `zeros` for a hole.
    var chunkType: String?
  }

  init(_ json: [UInt8], _ source: ForeignIndex.Source) throws {
    do { self = try JSONDecoder().decode(ContentsTable.self, from: Data(json)) } catch { throw source.wrong("its table of contents cannot be read: \(error)") }
    if version != 1 { throw source.wrong("its table of contents is of version \(version); this program reads version 1") }
    if entries.count > ForeignIndex.mostEntries { throw source.wrong("its table of contents has \(entries.count) entries") }
  }

  /// The table as an index whose archive is the chunks, one behind the other.
  /// - Parameter end: where the table begins, and with it the bytes of files end.
  func index(_ source: ForeignIndex.Source, packing: LayerIndex.Packing, end: Int64) throws -> LayerIndex {
    var layout = ChunkLayout(source: source, end: end)
    var prefetch: [Int] = []
    var hasLandmark = false
    var isInLandmark = false
    for row in entries {
      if row.type == "chunk" {
        if !isInLandmark { try layout.add(chunk: row) }
        continue
      }
      let name = Array((row.name ?? "").utf8)
      let plain = LayerIndex.plain(name)
      isInLandmark = plain == Self.landmark || plain == Self.noLandmark
      if isInLandmark {
        // It stands behind the last file to be fetched first.
        if plain == Self.landmark, !hasLandmark { prefetch = layout.files }
        hasLandmark = true
        try layout.skip(row)
        continue
      }
      try layout.add(try Self.entry(row, name: name, source), row)
    }
    let (spans, entries, size) = try layout.finish()
    let index = LayerIndex(
      blob: source.blob, size: source.size, packing: packing, diffID: source.diffID, archive: .contents, archiveSize: size, spans: spans, entries: entries,
      prefetch: prefetch)
    try index.check()
    return index
  }

  static let landmark = Array(".prefetch.landmark".utf8)
  static let noLandmark = Array(".no.prefetch.landmark".utf8)

  private static func entry(_ row: Row, name: [UInt8], _ source: ForeignIndex.Source) throws -> LayerIndex.Entry {
    let text = row.name ?? ""
    if name.isEmpty { throw source.wrong("an entry of type \"\(row.type)\" has no name") }
    let kind: LayerIndex.Entry.Kind =
      switch row.type {
      case "reg": .file
      case "dir": .directory
      case "symlink": .symlink
      case "hardlink": .hardlink
      case "char": .character
      case "block": .block
      case "fifo": .fifo
      default: throw source.wrong("\"\(text)\" is of the unknown type \"\(row.type)\"")
      }
    guard let owner = UInt32(exactly: row.uid ?? 0), let group = UInt32(exactly: row.gid ?? 0), owner < .max, group < .max else {
      throw source.wrong("\"\(text)\": owner \(row.uid ?? 0):\(row.gid ?? 0) is out of range")
    }
    var time = Timestamp("1970-01-01T00:00:00Z".utf8)
    if let modtime = row.modtime, !modtime.isEmpty { time = Timestamp(modtime.utf8) }
    guard let time else { throw source.wrong("\"\(text)\" is from \"\(row.modtime ?? "")\", which is no time") }
    var entry = LayerIndex.Entry(
      kind: kind, name: name, mode: UInt32(truncatingIfNeeded: row.mode ?? 0) & 0o7777, owner: owner, group: group, seconds: time.seconds,
      nanoseconds: time.nanoseconds)
    if kind == .symlink || kind == .hardlink {
      entry.link = Array((row.linkName ?? "").utf8)
      if entry.link.isEmpty { throw source.wrong("\"\(text)\" is a \(row.type) to nowhere") }
    }
    if kind == .character || kind == .block {
      guard let major = UInt32(exactly: row.devMajor ?? 0), let minor = UInt32(exactly: row.devMinor ?? 0) else {
        throw source.wrong("\"\(text)\": device \(row.devMajor ?? 0):\(row.devMinor ?? 0) is out of range")
      }
      (entry.major, entry.minor) = (major, minor)
    }
    entry.attributes = (row.xattrs ?? [:]).map { LayerIndex.Attribute(name: $0.key, value: Array($0.value)) }.sorted { $0.name < $1.name }
    if kind == .file {
      entry.size = row.size ?? 0
      if entry.size < 0 { throw source.wrong("\"\(text)\" has \(entry.size) bytes") }
      if let digest = row.digest, !digest.isEmpty { entry.digest = try Digest(parsing: digest) }
    }
    return entry
  }
}
