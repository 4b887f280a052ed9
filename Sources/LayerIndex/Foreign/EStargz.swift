import CZlib
import Protocols

/// eStargz: a layer of gzip in which every chunk of a file is a member, and the table of contents the last file of the archive
/// (stargz-snapshotter, docs/estargz.md).
enum EStargz {
  static let digestAnnotation = "containerd.io/snapshot/stargz/toc.digest"
  static let tocName = Array("stargz.index.json".utf8)

  struct Footer {
    /// Where the member with the table begins, and where the footer does.
    var toc: Int64
    var place: Int64

    func table(of source: ForeignIndex.Source) throws -> Range<Int64> {
      if place - toc > ForeignIndex.mostTable { throw source.wrong("its table of contents has \(place - toc) bytes") }
      return toc..<place
    }
  }

  /// An empty member of gzip whose extra field (RFC 1952, 2.3.1.1) has the place of the table in sixteen digits; nil if the blob does not end so.
  ///
  /// Of 51 bytes, the field's content behind the name `SG`; before that was, of 47.
  static func footer(of source: ForeignIndex.Source) throws -> Footer? {
    let magic = Array("STARGZ".utf8)
    let tail = Array<UInt8>([1, 0, 0, 0xff, 0xff]) + [UInt8](repeating: 0, count: 8)
    let end = try source.bytes(max(0, source.size - 51)..<source.size)
    for (count, name) in [(51, Array<UInt8>([0x53, 0x47, 22, 0])), (47, [])] as [(Int, [UInt8])] where source.size > Int64(count) {
      let footer = Array(end.suffix(count))
      // Time, flags of the packer and the system's number may be any.
      guard footer.starts(with: [0x1f, 0x8b, 8, 4]), footer[10...].starts(with: [UInt8(22 + name.count), 0] + name) else { continue }
      let digits = footer[(12 + name.count)..<(28 + name.count)]
      guard footer[(28 + name.count)...].elementsEqual(magic + tail) else { continue }
      guard let place = Int64(String(decoding: digits, as: UTF8.self), radix: 16), place >= 0, place < source.size - Int64(count) else {
        throw source.wrong("its footer says that the table of contents is at \"\(String(decoding: digits, as: UTF8.self))\"")
      }
      return Footer(toc: place, place: source.size - Int64(count))
    }
    return nil
  }

  static func index(_ source: ForeignIndex.Source, _ footer: Footer, tocDigest: Digest?) throws -> LayerIndex {
    let archive = try inflate(try source.bytes(try footer.table(of: source)), source)
    let json = try file(in: archive, source)
    if let tocDigest { try source.compare(json, tocDigest, "table of contents") }
    return try ContentsTable(json, source).index(source, packing: .gzip, end: footer.toc)
  }

  /// The only file in the archive (POSIX, pax, "ustar Interchange Format").
  private static func file(in archive: [UInt8], _ source: ForeignIndex.Source) throws -> [UInt8] {
    guard archive.count >= 512, archive.starts(with: tocName + [0]) else {
      throw source.wrong("where the table of contents should be, there is something else")
    }
    func octal(_ range: Range<Int>) -> Int? {
      let digits = archive[range].drop { $0 == 0x20 }.prefix { (0x30...0x37).contains($0) }
      return digits.isEmpty ? nil : digits.reduce(0) { $0 * 8 + Int($1 - 0x30) }
    }
    let sum = archive[0..<148].reduce(0) { $0 + Int($1) } + archive[156..<512].reduce(0) { $0 + Int($1) } + 8 * 0x20
    guard octal(148..<156) == sum, archive[156] == 0x30 || archive[156] == 0 else { throw source.wrong("the header of its table of contents is broken") }
    guard let size = octal(124..<136), size <= archive.count - 512 else { throw source.wrong("its table of contents is cut off") }
    return Array(archive[512..<512 + size])
  }

  private static func inflate(_ packed: [UInt8], _ source: ForeignIndex.Source) throws -> [UInt8] {
    var stream = z_stream()
    // 15 bits of window, 16 more for gzip's header and trailer.
    if inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) != Z_OK {
      throw ContainerdError(.resourceExhausted, "zlib: no memory for an inflater")
    }
    defer { inflateEnd(&stream) }
    var unpacked: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 256 << 10)
    var status = Z_OK
    packed.withUnsafeBufferPointer { input in
      stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
      stream.avail_in = UInt32(input.count)
      while status == Z_OK, unpacked.count <= ForeignIndex.mostTable {
        let size = piece.count
        status = piece.withUnsafeMutableBufferPointer { output in
          stream.next_out = output.baseAddress
          stream.avail_out = UInt32(size)
          return CZlib.inflate(&stream, Z_NO_FLUSH)
        }
        unpacked += piece[0..<size - Int(stream.avail_out)]
      }
    }
    if unpacked.count > ForeignIndex.mostTable { throw source.wrong("its table of contents is more than \(ForeignIndex.mostTable) bytes") }
    if status != Z_STREAM_END { throw source.wrong("its table of contents cannot be unpacked (zlib's error \(status))") }
    return unpacked
  }
}
