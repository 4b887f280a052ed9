/// A strict RFC 8259 parser with limits: at most 16 MiB and 64 levels, so that hostile input costs little.
public struct JSONParser {
  public static let maximumSize = 16 << 20
  public static let maximumDepth = 64

  private let bytes: [UInt8]
  private var at = 0

  public static func parse(_ bytes: [UInt8]) throws(RuntimeError) -> JSONValue {
    guard bytes.count <= maximumSize else { throw RuntimeError(.invalid, "JSON: \(bytes.count) bytes, at most \(maximumSize) are read") }
    var parser = JSONParser(bytes: bytes)
    let value = try parser.value(depth: 0)
    parser.skipSpace()
    guard parser.at == bytes.count else { throw parser.failure("something follows the end") }
    return value
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }

  private func failure(_ what: String) -> RuntimeError { RuntimeError(.invalid, "JSON: \(what) at byte \(at)") }

  private mutating func skipSpace() {
    while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x0A || bytes[at] == 0x0D || bytes[at] == 0x09 { at += 1 }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard at < bytes.count, bytes[at] == byte else { return false }
    at += 1
    return true
  }

  private mutating func value(depth: Int) throws(RuntimeError) -> JSONValue {
    guard depth < Self.maximumDepth else { throw failure("more than \(Self.maximumDepth) levels") }
    skipSpace()
    guard at < bytes.count else { throw failure("unexpected end") }
    switch bytes[at] {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try text())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func word(_ word: StaticString, _ value: JSONValue) throws(RuntimeError) -> JSONValue {
    let size = word.utf8CodeUnitCount
    guard at + size <= bytes.count, (0..<size).allSatisfy({ bytes[at + $0] == word.utf8Start[$0] }) else {
      throw failure("unexpected character")
    }
    at += size
    return value
  }

  private mutating func object(depth: Int) throws(RuntimeError) -> JSONValue {
    at += 1
    var members: [JSONMember] = []
    skipSpace()
    if take(UInt8(ascii: "}")) { return .object([]) }
    while true {
      skipSpace()
      guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw failure("a name is expected") }
      let name = try text()
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw failure("\":\" is expected") }
      members.append(JSONMember(name: name, value: try value(depth: depth + 1)))
      skipSpace()
      if take(UInt8(ascii: "}")) { return .object(members) }
      guard take(UInt8(ascii: ",")) else { throw failure("\",\" or \"}\" is expected") }
    }
  }

  private mutating func array(depth: Int) throws(RuntimeError) -> JSONValue {
    at += 1
    var elements: [JSONValue] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array([]) }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if take(UInt8(ascii: "]")) { return .array(elements) }
      guard take(UInt8(ascii: ",")) else { throw failure("\",\" or \"]\" is expected") }
    }
  }

  private mutating func text() throws(RuntimeError) -> String {
    at += 1
    var out: [UInt8] = []
    while at < bytes.count {
      let byte = bytes[at]
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: out, as: UTF8.self) else { throw failure("a string that is not UTF-8 ends") }
        return string
      case UInt8(ascii: "\\"): try escape(into: &out)
      case 0..<0x20: throw failure("a control character in a string")
      default: out.append(byte)
      }
    }
    throw failure("unexpected end in a string")
  }

  private mutating func escape(into out: inout [UInt8]) throws(RuntimeError) {
    guard at < bytes.count else { throw failure("unexpected end in a string") }
    let byte = bytes[at]
    at += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
    case UInt8(ascii: "b"): out.append(0x08)
    case UInt8(ascii: "f"): out.append(0x0C)
    case UInt8(ascii: "n"): out.append(0x0A)
    case UInt8(ascii: "r"): out.append(0x0D)
    case UInt8(ascii: "t"): out.append(0x09)
    case UInt8(ascii: "u"):
      var code = try hex4()
      if (0xD800..<0xDC00).contains(code), at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") {
        let mark = at
        at += 2
        let low = try hex4()
        if (0xDC00..<0xE000).contains(low) {
          code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        } else {
          at = mark
        }
      }
      // Half a pair means nothing; it reads as the replacement character, as in Go.
      let scalar = Unicode.Scalar(code) ?? "\u{FFFD}"
      out.append(contentsOf: String(Character(scalar)).utf8)
    default: throw failure("an unknown escape")
    }
  }

  private mutating func hex4() throws(RuntimeError) -> UInt32 {
    guard at + 4 <= bytes.count else { throw failure("unexpected end in a string") }
    var code: UInt32 = 0
    for _ in 0..<4 {
      let byte = bytes[at]
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte - 0x30
      case 0x41...0x46: digit = byte - 0x41 + 10
      case 0x61...0x66: digit = byte - 0x61 + 10
      default: throw failure("a hexadecimal digit is expected")
      }
      code = code << 4 | UInt32(digit)
      at += 1
    }
    return code
  }

  private mutating func digits() throws(RuntimeError) {
    let start = at
    while at < bytes.count, (0x30...0x39).contains(bytes[at]) { at += 1 }
    guard at > start else { throw failure("a digit is expected") }
  }

  private mutating func number() throws(RuntimeError) -> JSONValue {
    let start = at
    var whole = true
    _ = take(UInt8(ascii: "-"))
    if take(UInt8(ascii: "0")) {
      if at < bytes.count, (0x30...0x39).contains(bytes[at]) { throw failure("a number with a leading zero") }
    } else {
      try digits()
    }
    if take(UInt8(ascii: ".")) {
      whole = false
      try digits()
    }
    if at < bytes.count, bytes[at] == UInt8(ascii: "e") || bytes[at] == UInt8(ascii: "E") {
      whole = false
      at += 1
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
    }
    let literal = String(decoding: bytes[start..<at], as: UTF8.self)
    if whole {
      if let value = Int64(literal) { return .integer(value) }
      if let value = UInt64(literal) { return .unsigned(value) }
    }
    guard let value = Double(literal), value.isFinite else { throw failure("a number out of range ends") }
    return .double(value)
  }
}
