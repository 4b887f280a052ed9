/// One record of a tar archive: a header and its contents, as bytes. Records of extended headers stand for themselves.
package struct TarRecord: Sendable {
  package var name = ""
  package var type: Character = "0"
  package var link = ""
  package var contents: [UInt8] = []
  package var mode = 0o644
  package var owner = 0
  package var group = 0
  package var modified = 1_000_000_000
  package var device = (major: 0, minor: 0)

  package init(_ name: String, _ type: Character = "0", _ contents: String = "") {
    self.name = name
    self.type = type
    self.contents = Array(contents.utf8)
  }

  /// Extended attributes of the next record, as POSIX writes them: `LENGTH KEY=VALUE` and a line feed.
  package static func extended(_ values: [(String, [UInt8])], global: Bool = false) -> TarRecord {
    var record = TarRecord("pax", global ? "g" : "x")
    for (key, value) in values {
      let rest = 1 + key.utf8.count + 1 + value.count + 1
      var length = rest + 1
      while String(length).utf8.count + rest != length { length = String(length).utf8.count + rest }
      record.contents += Array("\(length) \(key)=".utf8) + value + [10]
    }
    return record
  }

  /// The extended attributes, if this is a record of them.
  package var attributes: [String: [UInt8]] {
    guard type == "x" || type == "g" else { return [:] }
    var (found, rest): ([String: [UInt8]], ArraySlice<UInt8>) = ([:], contents[...])
    while let space = rest.firstIndex(of: 32), let length = Int(String(decoding: rest[..<space], as: UTF8.self)), length <= rest.count,
      length > space - rest.startIndex + 1
    {
      let line = rest[(space + 1)..<(rest.startIndex + length - 1)]
      if let equals = line.firstIndex(of: 61) { found[String(decoding: line[..<equals], as: UTF8.self)] = Array(line[(equals + 1)...]) }
      rest = rest.dropFirst(length)
    }
    return found
  }

  package var bytes: [UInt8] {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, at offset: Int, _ width: Int) { for (index, byte) in text.utf8.prefix(width).enumerated() { block[offset + index] = byte } }
    func number(_ value: Int, at offset: Int, _ width: Int) {
      let digits = String(value, radix: 8)
      if digits.utf8.count < width {
        put(String(repeating: "0", count: width - 1 - digits.utf8.count) + digits, at: offset, width)
      } else {
        // What octal cannot hold, in base 256, marked by the first bit.
        for place in 0..<width { block[offset + width - 1 - place] = place < 8 ? UInt8(truncatingIfNeeded: value >> (8 * place)) : 0 }
        block[offset] |= 0x80
      }
    }
    put(name, at: 0, 100)
    number(mode, at: 100, 8)
    number(owner, at: 108, 8)
    number(group, at: 116, 8)
    number(contents.count, at: 124, 12)
    number(modified, at: 136, 12)
    put("        ", at: 148, 8)
    put(String(type), at: 156, 1)
    put(link, at: 157, 100)
    put("ustar", at: 257, 5)
    put("00", at: 263, 2)
    number(device.major, at: 329, 8)
    number(device.minor, at: 337, 8)
    let sum = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
    put(String(repeating: "0", count: 6 - sum.utf8.count) + sum, at: 148, 6)
    block[154] = 0
    return block + contents + [UInt8](repeating: 0, count: (512 - contents.count % 512) % 512)
  }

  package static func archive(_ records: [TarRecord]) -> [UInt8] { records.flatMap(\.bytes) + [UInt8](repeating: 0, count: 1024) }

  /// The records of an archive, up to its end or the first that is none.
  package static func records(of archive: [UInt8]) -> [TarRecord] {
    var (records, offset): ([TarRecord], Int) = ([], 0)
    func text(_ at: Int, _ width: Int) -> String { String(decoding: archive[(offset + at)..<(offset + at + width)].prefix { $0 != 0 }, as: UTF8.self) }
    func number(_ at: Int, _ width: Int) -> Int {
      let field = archive[(offset + at)..<(offset + at + width)]
      if let first = field.first, first & 0x80 != 0 { return field.suffix(7).reduce(0) { $0 << 8 | Int($1) } }
      return Int(String(decoding: field.filter { $0 != 0 && $0 != 32 }, as: UTF8.self), radix: 8) ?? 0
    }
    while offset + 512 <= archive.count, archive[offset] != 0 {
      let sum = archive[offset..<(offset + 512)].enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element)) }
      if sum != number(148, 8) { break }
      var record = TarRecord(text(0, 100))
      let prefix = text(345, 155)
      if !prefix.isEmpty { record.name = "\(prefix)/\(record.name)" }
      record.type = archive[offset + 156] == 0 ? "0" : Character(UnicodeScalar(archive[offset + 156]))
      record.link = text(157, 100)
      record.mode = number(100, 8)
      record.owner = number(108, 8)
      record.group = number(116, 8)
      record.modified = number(136, 12)
      record.device = (number(329, 8), number(337, 8))
      let size = number(124, 12)
      guard offset + 512 + size <= archive.count else { break }
      record.contents = Array(archive[(offset + 512)..<(offset + 512 + size)])
      records.append(record)
      offset += 512 + (size + 511) / 512 * 512
    }
    return records
  }
}
