extension JSONValue {
  /// The document as bytes. `indent` 0 writes one line; otherwise that many spaces a level.
  public func serialized(indent: Int = 0) -> [UInt8] {
    var out: [UInt8] = []
    write(to: &out, indent: indent, level: 0)
    return out
  }

  private func write(to out: inout [UInt8], indent: Int, level: Int) {
    func line(_ level: Int) {
      guard indent > 0 else { return }
      out.append(0x0A)
      out.append(contentsOf: repeatElement(0x20, count: indent * level))
    }
    switch self {
    case .null: out.append(contentsOf: "null".utf8)
    case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
    case .integer(let value): out.append(contentsOf: String(value).utf8)
    case .unsigned(let value): out.append(contentsOf: String(value).utf8)
    case .double(let value): out.append(contentsOf: String(value).utf8)
    case .string(let value): Self.write(value, to: &out)
    case .array(let elements):
      out.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { out.append(UInt8(ascii: ",")) }
        line(level + 1)
        element.write(to: &out, indent: indent, level: level + 1)
      }
      if !elements.isEmpty { line(level) }
      out.append(UInt8(ascii: "]"))
    case .object(let members):
      out.append(UInt8(ascii: "{"))
      for (index, member) in members.enumerated() {
        if index > 0 { out.append(UInt8(ascii: ",")) }
        line(level + 1)
        Self.write(member.name, to: &out)
        out.append(UInt8(ascii: ":"))
        if indent > 0 { out.append(0x20) }
        member.value.write(to: &out, indent: indent, level: level + 1)
      }
      if !members.isEmpty { line(level) }
      out.append(UInt8(ascii: "}"))
    }
  }

  private static func write(_ string: String, to out: inout [UInt8]) {
    let hex = Array("0123456789abcdef".utf8)
    out.append(UInt8(ascii: "\""))
    for byte in string.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): out.append(contentsOf: [UInt8(ascii: "\\"), byte])
      case 0x0A: out.append(contentsOf: "\\n".utf8)
      case 0x0D: out.append(contentsOf: "\\r".utf8)
      case 0x09: out.append(contentsOf: "\\t".utf8)
      case 0..<0x20: out.append(contentsOf: "\\u00".utf8 + [hex[Int(byte >> 4)], hex[Int(byte & 15)]])
      default: out.append(byte)
      }
    }
    out.append(UInt8(ascii: "\""))
  }
}
