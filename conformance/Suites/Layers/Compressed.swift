/// Bytes in the forms that layers are compressed in, without making them smaller: what readers must understand, and no writer of ours.
package enum Compressed {
  /// A member of gzip (RFC 1952) of stored blocks (RFC 1951, 3.2.4).
  /// - Parameter name: a file's name in the header.
  package static func gzip(_ bytes: [UInt8], name: String = "") -> [UInt8] {
    var out: [UInt8] = [0x1f, 0x8b, 8, name.isEmpty ? 0 : 8, 0, 0, 0, 0, 0, 255]
    if !name.isEmpty { out += Array(name.utf8) + [0] }
    var rest = bytes[...]
    repeat {
      let piece = rest.prefix(0xffff)
      rest = rest.dropFirst(piece.count)
      out += [rest.isEmpty ? 1 : 0] + little(UInt64(piece.count), 2) + little(UInt64(~UInt16(piece.count)), 2) + piece
    } while !rest.isEmpty
    return out + little(UInt64(sum(bytes)), 4) + little(UInt64(UInt32(truncatingIfNeeded: bytes.count)), 4)
  }

  /// A frame of zstd (RFC 8878) of raw blocks.
  package static func zstd(_ bytes: [UInt8]) -> [UInt8] {
    // One segment, its size in eight bytes; neither a sum nor a dictionary.
    var out: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000] + little(UInt64(bytes.count), 8)
    var rest = bytes[...]
    repeat {
      let piece = rest.prefix(1 << 17)
      rest = rest.dropFirst(piece.count)
      out += little(UInt64(piece.count) << 3 | (rest.isEmpty ? 1 : 0), 3) + piece
    } while !rest.isEmpty
    return out
  }
  /// A frame of zstd that readers pass over.
  package static func zstdSkipped(_ bytes: [UInt8]) -> [UInt8] { [0x50, 0x2a, 0x4d, 0x18] + little(UInt64(bytes.count), 4) + bytes }

  private static func little(_ value: UInt64, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) } }

  /// CRC-32 as gzip has it.
  private static func sum(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~UInt32(0)) { sum, byte in table[Int(UInt8(truncatingIfNeeded: sum) ^ byte)] ^ (sum >> 8) }
  }
  private static let table: [UInt32] = (0..<256).map { start in
    (0..<8).reduce(UInt32(start)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ (value >> 1) : value >> 1 }
  }
}
