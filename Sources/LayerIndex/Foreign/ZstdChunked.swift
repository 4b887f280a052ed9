import Protocols

/// zstd:chunked: a layer of zstd in which every chunk of a file is a frame, and the table of contents, packed by itself, in a frame that unpackers skip
/// (containers/storage, pkg/chunked; RFC 8878, 3.1.2 for skippable frames).
enum ZstdChunked {
  /// The second is what the annotations' names began with at first.
  static let prefixes = ["io.github.containers.zstd-chunked.", "io.containers.zstd-chunked."]

  struct Position {
    var place: Int64
    var packed: Int64
    var unpacked: Int64
    /// SHA-256 of the table as it is packed; nil if the manifest does not tell.
    var digest: Digest?
    var isBound: Bool { digest != nil }
  }

  /// Where the table of contents is, by the manifest, or else by the footer; nil if neither tells.
  static func position(of source: ForeignIndex.Source, _ annotations: [String: String]) throws -> Position? {
    for prefix in prefixes {
      guard let text = annotations[prefix + "manifest-position"] else { continue }
      let numbers = text.split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) }
      guard numbers.count == 4, let place = numbers[0], let packed = numbers[1], let unpacked = numbers[2], let type = numbers[3] else {
        throw source.wrong("the annotation \(prefix)manifest-position is \"\(text)\"")
      }
      let digest = try annotations[prefix + "manifest-checksum"].map { text in try Digest(parsing: text) }
      return try checked(Position(place: place, packed: packed, unpacked: unpacked, digest: digest), type: type, source)
    }
    return try footer(of: source)
  }

  /// A skippable frame of 64 bytes; of 40 before it had the place of a second table, which is for making the archive again.
  private static func footer(of source: ForeignIndex.Source) throws -> Position? {
    let end = try source.bytes(max(0, source.size - 72)..<source.size)
    for (count, magic) in [(64, "GNUlInUx"), (40, "GnUlInUx")] where source.size > Int64(count + 8) {
      let frame = Array(end.suffix(count + 8))
      guard frame.starts(with: [0x50, 0x2a, 0x4d, 0x18, UInt8(count), 0, 0, 0]), frame.suffix(8).elementsEqual(Array(magic.utf8)) else { continue }
      func number(_ place: Int) -> Int64 { Int64(bitPattern: (0..<8).reduce(0) { $0 | UInt64(frame[8 + 8 * place + $1]) << (8 * $1) }) }
      return try checked(Position(place: number(0), packed: number(1), unpacked: number(2)), type: number(3), source)
    }
    return nil
  }

  private static func checked(_ position: Position, type: Int64, _ source: ForeignIndex.Source) throws -> Position {
    if type != 1 { throw source.wrong("its table of contents is of type \(type); this program reads type 1") }
    let (place, packed, unpacked) = (position.place, position.packed, position.unpacked)
    // In front of the table are its frame's magic and length.
    guard place >= 8, packed > 0, place <= source.size, packed <= source.size - place else {
      throw source.wrong("its table of contents is said to have \(packed) bytes at \(place) of \(source.size)")
    }
    guard packed <= ForeignIndex.mostTable, (0...ForeignIndex.mostTable).contains(unpacked) else {
      throw source.wrong("its table of contents has \(packed) bytes and \(unpacked) unpacked; \(ForeignIndex.mostTable) are the most")
    }
    return position
  }

  static func index(_ source: ForeignIndex.Source, _ position: Position) throws -> LayerIndex {
    let packed = try source.bytes(position.place..<position.place + position.packed)
    if let digest = position.digest { try source.compare(packed, digest, "table of contents") }
    let json = try Zstd.unpack(packed, size: Int(position.unpacked), "blob \(source.blob): its table of contents")
    return try ContentsTable(json, source).index(source, packing: .zstd, end: position.place - 8)
  }
}
