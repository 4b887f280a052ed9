/// Puts a message together. Fields that have their default value are left out, as proto3 has it.
public struct ProtoWriter {
  public private(set) var bytes: [UInt8] = []

  public init() {}

  public mutating func number(_ field: UInt32, _ value: UInt64) {
    if value == 0 { return }
    varint(UInt64(field) << 3)
    varint(value)
  }
  /// Negative values take ten bytes.
  public mutating func signed(_ field: UInt32, _ value: Int64) { number(field, UInt64(bitPattern: value)) }
  public mutating func bool(_ field: UInt32, _ value: Bool) { number(field, value ? 1 : 0) }
  public mutating func string(_ field: UInt32, _ value: String) {
    if !value.isEmpty { raw(field, Array(value.utf8)) }
  }
  public mutating func data(_ field: UInt32, _ value: [UInt8]) {
    if !value.isEmpty { raw(field, value) }
  }
  public mutating func strings(_ field: UInt32, _ values: [String]) {
    for value in values { raw(field, Array(value.utf8)) }
  }
  public mutating func message(_ field: UInt32, _ value: (some WireMessage)?) {
    if let value { raw(field, value.encoded) }
  }
  public mutating func messages(_ field: UInt32, _ values: [some WireMessage]) {
    for value in values { raw(field, value.encoded) }
  }
  /// A message that is built in place.
  public mutating func nested(_ field: UInt32, _ body: (inout ProtoWriter) -> Void) {
    var inner = ProtoWriter()
    body(&inner)
    raw(field, inner.bytes)
  }
  public mutating func packed(_ field: UInt32, _ values: [UInt64]) {
    if values.isEmpty { return }
    var inner = ProtoWriter()
    for value in values { inner.varint(value) }
    raw(field, inner.bytes)
  }

  private mutating func raw(_ field: UInt32, _ value: [UInt8]) {
    varint(UInt64(field) << 3 | 2)
    varint(UInt64(value.count))
    bytes.append(contentsOf: value)
  }
  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
