/// The names in an archive's pax headers (POSIX, pax Interchange Format), byte for byte.
///
/// libarchive composes the letters of such a name (what was "e" and an accent is one letter afterwards, another name), and forgets the target of a
/// link that has one in its pax header only. So the bytes are looked at on their way to it. Whatever does not look like a header ends the looking:
/// from there on libarchive's names stand.
struct PaxNames {
  /// Of one entry.
  struct Entry {
    let path: CText?
    let link: CText?
    /// The header's type: what `link` is the target of.
    let isHardLink: Bool
    /// Where its data are.
    let data: ClosedRange<Int64>
  }

  private enum Part {
    case header
    case records(size: Int)
    /// More of an old GNU header's map of pieces (`GNU tar`, oldgnu sparse), before so many bytes of data.
    case map(data: Int64)
    case skipped(left: Int64)
    case over
  }
  private struct Records {
    var path: [UInt8] = []
    var sparsePath: [UInt8] = []
    var link: [UInt8] = []
    var size: Int64?
  }

  private static let block = 512
  /// libarchive refuses more.
  private static let mostRecords: Int64 = 1 << 20

  private var part = Part.header
  private var position: Int64 = 0
  private var collected: [UInt8] = []
  private var records = Records()
  private var found: ArraySlice<Entry> = []

  /// The names of the entry whose data begin there; nil if its header has them all.
  mutating func entry(at place: Int64) -> Entry? {
    while let first = found.first, first.data.upperBound < place { found.removeFirst() }
    guard let first = found.first, first.data.contains(place) else { return nil }
    return found.removeFirst()
  }

  /// The archive's next bytes.
  mutating func watch(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes[...]
    func take(_ count: Int64) -> Slice<UnsafeRawBufferPointer> {
      let taken = rest.prefix(Int(min(count, Int64(rest.count))))
      rest = rest.dropFirst(taken.count)
      return taken
    }
    while !rest.isEmpty {
      let before = rest.count
      switch part {
      case .over: return
      case .skipped(let left):
        let taken = take(left)
        part = left == taken.count ? .header : .skipped(left: left - Int64(taken.count))
      case .header, .map:
        collected += take(Int64(Self.block - collected.count))
      case .records(let size):
        collected += take(Int64(size - collected.count))
      }
      position += Int64(before - rest.count)
      finish()
    }
  }

  /// Reads what is collected, once it is whole.
  private mutating func finish() {
    switch part {
    case .header where collected.count == Self.block: header()
    case .map(let data) where collected.count == Self.block:
      if collected[504] == 0 { entry(type: "S", size: data) }
    case .records(let size) where collected.count == size:
      read()
      part = Self.skip(Self.padded(Int64(size)) - Int64(size))
    default: return
    }
    collected = []
  }

  private mutating func header() {
    let type = Character(UnicodeScalar(collected[156]))
    guard collected.contains(where: { $0 != 0 }), isSealed, let size = Self.number(collected[124..<136]) else { return part = .over }
    switch type {
    case "x", "X": part = size > Self.mostRecords ? .over : size == 0 ? .header : .records(size: Int(size))
    case "g", "L", "K", "A": part = Self.skip(Self.padded(size))
    // These have no data, whatever they say.
    case "2", "3", "4", "5", "6": entry(type: type, size: 0)
    case "1":
      entry(type: type, size: records.size ?? size)
      // Whether the data of a hard link are there is a matter of who wrote it.
      if case .skipped = part { part = .over }
    case "S" where collected[482] != 0: part = .map(data: records.size ?? size)
    default: entry(type: type, size: records.size ?? size)
    }
  }

  private mutating func entry(type: Character, size: Int64) {
    let path = records.sparsePath.isEmpty ? records.path : records.sparsePath
    let (end, tooFar) = position.addingReportingOverflow(size)
    if tooFar || end > .max - Int64(Self.block) { return part = .over }
    let link = type == "1" || type == "2" ? records.link : []
    if !path.isEmpty || !link.isEmpty {
      found.append(Entry(path: CText(path), link: CText(link), isHardLink: type == "1", data: position...end))
    }
    records = Records()
    part = Self.skip(Self.padded(size))
  }

  private var isSealed: Bool {
    let sum = collected.indices.reduce(0) { $0 + ((148..<156).contains($1) ? 32 : Int64(collected[$1])) }
    return Self.number(collected[148..<156]) == sum
  }

  /// Records are "LENGTH KEY=VALUE\n"; of several with one key the last counts.
  private mutating func read() {
    var rest = collected[...]
    while let space = rest.firstIndex(of: 0x20), let length = Int(String(decoding: rest[..<space], as: UTF8.self)),
      length > space - rest.startIndex + 1, length <= rest.count
    {
      let record = rest[(space + 1)..<(rest.startIndex + length)].dropLast()
      rest = rest.dropFirst(length)
      guard let equals = record.firstIndex(of: 0x3d) else { return }
      let value = Array(record[(equals + 1)...].prefix { $0 != 0 })
      switch String(decoding: record[..<equals], as: UTF8.self) {
      case "path": records.path = value
      case "GNU.sparse.name": records.sparsePath = value
      case "linkpath": records.link = value
      case "size": records.size = Int64(String(decoding: value, as: UTF8.self)).flatMap { $0 < 0 ? nil : $0 }
      default: break
      }
    }
  }

  private static func skip(_ count: Int64) -> Part { count == 0 ? .header : .skipped(left: count) }
  private static func padded(_ count: Int64) -> Int64 { (count + Int64(block) - 1) / Int64(block) * Int64(block) }

  /// Octal digits, or a number of base 256 if the first bit is set; nil for what is neither, or below zero.
  private static func number(_ field: ArraySlice<UInt8>) -> Int64? {
    guard let first = field.first else { return nil }
    if first & 0x80 != 0 {
      if first & 0x40 != 0 { return nil }
      var value = Int64(first & 0x3f)
      for byte in field.dropFirst() {
        if value > Int64.max >> 9 { return nil }
        value = value << 8 | Int64(byte)
      }
      return value
    }
    let digits = field.drop { $0 == 0x20 }.prefix { (0x30...0x37).contains($0) }
    return digits.isEmpty ? 0 : Int64(String(decoding: digits, as: UTF8.self), radix: 8)
  }
}

/// A text for C, as long as this lives.
final class CText {
  let pointer: UnsafeMutablePointer<CChar>

  /// nil for an empty one. Without a zero in it.
  init?(_ bytes: [UInt8]) {
    if bytes.isEmpty { return nil }
    pointer = .allocate(capacity: bytes.count + 1)
    for (place, byte) in bytes.enumerated() { pointer[place] = CChar(bitPattern: byte) }
    pointer[bytes.count] = 0
  }
  deinit { pointer.deallocate() }
}
