import Hashing
import Protocols

/// Writes tar archives byte by byte, right and wrong ones: what no honest tool makes can be made here.
struct TarBuilder {
  private(set) var bytes: [UInt8] = []

  struct Entry {
    var name: [UInt8] = []
    var type: Character = "0"
    var data: [UInt8] = []
    var link: [UInt8] = []
    var mode = 0o644
    var uid: Int64 = 0
    var gid: Int64 = 0
    var mtime: Int64 = 1_000_000_000
    var major = 0
    var minor = 0
    /// What the header says instead of the data's size.
    var size: Int64?
    var magic = "ustar\u{0}00"
  }

  /// A pax, GNU or plain entry; `pax` records go before it in a header of their own.
  mutating func add(
    _ name: String, _ type: Character = "0", _ data: [UInt8] = [], link: String = "", mode: Int? = nil, uid: Int64 = 0, gid: Int64 = 0,
    mtime: Int64 = 1_000_000_000, device: (Int, Int) = (0, 0), pax: [(String, [UInt8])] = []
  ) {
    var records = pax
    if name.utf8.count > 99 && !pax.contains(where: { $0.0 == "path" }) { records.append(("path", Array(name.utf8))) }
    if link.utf8.count > 99 { records.append(("linkpath", Array(link.utf8))) }
    if !records.isEmpty { addPax(records) }
    add(
      Entry(
        name: Array(name.utf8), type: type, data: data, link: Array(link.utf8), mode: mode ?? (type == "5" ? 0o755 : 0o644), uid: uid, gid: gid, mtime: mtime,
        major: device.0, minor: device.1))
  }

  mutating func directory(_ name: String, mode: Int = 0o755, mtime: Int64 = 1_000_000_000) { add(name, "5", mode: mode, mtime: mtime) }
  mutating func file(_ name: String, _ text: String = "", mode: Int = 0o644) { add(name, "0", Array(text.utf8), mode: mode) }
  mutating func symlink(_ name: String, _ target: String) { add(name, "2", link: target, mode: 0o777) }
  mutating func hardlink(_ name: String, _ target: String) { add(name, "1", link: target) }

  mutating func addPax(_ records: [(String, [UInt8])], type: Character = "x") {
    var body: [UInt8] = []
    for (key, value) in records {
      let rest = 1 + key.utf8.count + 1 + value.count + 1
      var length = rest + 1
      while String(length).count + rest != length { length = String(length).count + rest }
      body += Array("\(length) \(key)=".utf8) + value + [10]
    }
    add(Entry(name: Array("pax".utf8), type: type, data: body))
  }

  /// GNU's way of a long name (`L`) or link target (`K`).
  mutating func addGNULong(_ kind: Character, _ text: String) {
    add(Entry(name: Array("././@LongLink".utf8), type: kind, data: Array(text.utf8) + [0], magic: "ustar  \u{0}"))
  }

  mutating func add(_ entry: Entry) {
    var header = [UInt8](repeating: 0, count: 512)
    func put(_ text: [UInt8], _ at: Int, _ width: Int) { for (number, byte) in text.prefix(width).enumerated() { header[at + number] = byte } }
    put(entry.name, 0, 100)
    put(Self.number(Int64(entry.mode), 8), 100, 8)
    put(Self.number(entry.uid, 8), 108, 8)
    put(Self.number(entry.gid, 8), 116, 8)
    put(Self.number(entry.size ?? Int64(entry.data.count), 12), 124, 12)
    put(Self.number(entry.mtime, 12), 136, 12)
    header[156] = entry.type.asciiValue ?? 48
    put(entry.link, 157, 100)
    put(Array(entry.magic.utf8), 257, 8)
    put(Self.number(Int64(entry.major), 8), 329, 8)
    put(Self.number(Int64(entry.minor), 8), 337, 8)
    Self.seal(&header)
    bytes += header + entry.data + [UInt8](repeating: 0, count: (512 - entry.data.count % 512) % 512)
  }

  /// Bytes as they are.
  mutating func addRaw(_ raw: [UInt8]) { bytes += raw }

  /// With the two empty blocks at the end.
  var archive: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

  static func seal(_ header: inout [UInt8]) {
    for index in 148..<156 { header[index] = 32 }
    let sum = header[..<512].reduce(0) { $0 + Int($1) }
    let text = Array(String(sum, radix: 8).utf8)
    for (number, byte) in ([UInt8](repeating: 48, count: max(0, 6 - text.count)) + text + [0, 32]).enumerated() { header[148 + number] = byte }
  }

  /// Octal, or GNU's base 256 where that does not hold it.
  static func number(_ value: Int64, _ width: Int) -> [UInt8] {
    let digits = String(value, radix: 8)
    if value >= 0 && digits.utf8.count < width { return [UInt8](repeating: 48, count: width - 1 - digits.utf8.count) + Array(digits.utf8) + [0] }
    var bytes = [UInt8](repeating: value < 0 ? 0xff : 0, count: width)
    for index in 0..<min(8, width) { bytes[width - 1 - index] = UInt8(truncatingIfNeeded: value >> (8 * Int64(index))) }
    bytes[0] |= 0x80
    return bytes
  }
}
