/// Reads one filter: terms separated by commas, each a path and perhaps a comparison.
struct FilterParser {
  private let text: String
  private let bytes: [UInt8]
  private var position = 0

  static func parse(_ text: String) throws(ContainerdError) -> Filter {
    var parser = FilterParser(text)
    return try parser.filter()
  }

  private init(_ text: String) {
    self.text = text
    self.bytes = Array(text.utf8)
  }

  private mutating func filter() throws(ContainerdError) -> Filter {
    var terms: [Filter.Term] = []
    skipSpace()
    if position == bytes.count { return Filter(terms: []) }
    while true {
      terms.append(try term())
      skipSpace()
      if position == bytes.count { return Filter(terms: terms) }
      guard bytes[position] == UInt8(ascii: ",") else { throw unexpected("\",\" or the end") }
      position += 1
    }
  }

  private mutating func term() throws(ContainerdError) -> Filter.Term {
    skipSpace()
    var path = [try pathPart()]
    while position < bytes.count, bytes[position] == UInt8(ascii: ".") {
      position += 1
      path.append(try pathPart())
    }
    skipSpace()
    guard position + 1 < bytes.count, bytes[position + 1] == UInt8(ascii: "=") else {
      if position < bytes.count, bytes[position] != UInt8(ascii: ",") { throw unexpected("an operator") }
      return Filter.Term(path: path, comparison: .present)
    }
    let symbol = bytes[position]
    position += 2
    skipSpace()
    let value = try value(regex: symbol == UInt8(ascii: "~"))
    switch symbol {
    case UInt8(ascii: "="): return Filter.Term(path: path, comparison: .equal(value))
    case UInt8(ascii: "!"): return Filter.Term(path: path, comparison: .notEqual(value))
    case UInt8(ascii: "~"):
      do { _ = try Regex(value) } catch { throw .invalidArgument("filter \"\(text)\": regular expression \"\(value)\": \(error)") }
      return Filter.Term(path: path, comparison: .matches(value))
    default:
      position -= 2
      throw unexpected("one of == != ~=")
    }
  }

  private mutating func pathPart() throws(ContainerdError) -> String {
    if position < bytes.count, bytes[position] == UInt8(ascii: "\"") { return try quoted(UInt8(ascii: "\"")) }
    let start = position
    while position < bytes.count, isWord(bytes[position]) { position += 1 }
    if start == position { throw unexpected("a field name") }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  /// A quoted string (`"`, or `/` and `|` for regular expressions), or everything up to the next comma or space.
  private mutating func value(regex: Bool) throws(ContainerdError) -> String {
    guard position < bytes.count else { throw unexpected("a value") }
    let first = bytes[position]
    if first == UInt8(ascii: "\"") || (regex && (first == UInt8(ascii: "/") || first == UInt8(ascii: "|"))) { return try quoted(first) }
    let start = position
    while position < bytes.count, bytes[position] != UInt8(ascii: ","), bytes[position] != UInt8(ascii: " ") { position += 1 }
    if start == position { throw unexpected("a value") }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  private mutating func quoted(_ quote: UInt8) throws(ContainerdError) -> String {
    position += 1
    var result: [UInt8] = []
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      if byte == quote { return String(decoding: result, as: UTF8.self) }
      if byte == UInt8(ascii: "\\"), position < bytes.count {
        let escaped = bytes[position]
        position += 1
        switch escaped {
        case UInt8(ascii: "n") where quote == UInt8(ascii: "\""): result.append(0x0a)
        case UInt8(ascii: "t") where quote == UInt8(ascii: "\""): result.append(0x09)
        case quote: result.append(escaped)
        case UInt8(ascii: "\\") where quote == UInt8(ascii: "\""): result.append(escaped)
        default:
          if quote != UInt8(ascii: "\"") { result.append(byte) }
          result.append(escaped)
        }
      } else {
        result.append(byte)
      }
    }
    throw .invalidArgument("filter \"\(text)\": a quoted part does not end")
  }

  private mutating func skipSpace() {
    while position < bytes.count, bytes[position] == UInt8(ascii: " ") || bytes[position] == 0x09 { position += 1 }
  }

  private func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "/"), 0x80...: true
    default: false
    }
  }

  private func unexpected(_ wanted: String) -> ContainerdError {
    .invalidArgument("filter \"\(text)\": expected \(wanted) at byte \(position)")
  }
}
