/// One field of a protobuf message as it is on the wire.
public struct ProtoField: Sendable {
  public enum Value: Sendable {
    case varint(UInt64)
    case fixed64(UInt64)
    case bytes(ArraySlice<UInt8>)
    case fixed32(UInt32)
  }
  public let number: UInt32
  public let value: Value

  /// Nil when the wire type is another: such a field counts as unknown, as in every protobuf implementation.
  public var varint: UInt64? {
    if case .varint(let value) = value { value } else { nil }
  }
  public var slice: ArraySlice<UInt8>? {
    if case .bytes(let value) = value { value } else { nil }
  }

  func set(_ target: inout UInt32) { if let varint { target = UInt32(truncatingIfNeeded: varint) } }
  func set(_ target: inout Int32) { if let varint { target = Int32(truncatingIfNeeded: varint) } }
  func set(_ target: inout Int64) { if let varint { target = Int64(bitPattern: varint) } }
  func set(_ target: inout Bool) { if let varint { target = varint != 0 } }
  func set(_ target: inout [UInt8]) { if let slice { target = Array(slice) } }
  func set(_ target: inout String) throws(WireError) {
    if let slice { target = try Self.text(slice) }
  }
  func append(to target: inout [String]) throws(WireError) {
    if let slice { target.append(try Self.text(slice)) }
  }
  /// A message given twice is merged.
  func set<Message: WireMessage>(_ target: inout Message?) throws(WireError) {
    guard let slice else { return }
    var message = target ?? Message()
    try message.merge(slice)
    target = message
  }
  func append<Message: WireMessage>(to target: inout [Message]) throws(WireError) {
    guard let slice else { return }
    target.append(try Message(wire: slice))
  }

  private static func text(_ slice: ArraySlice<UInt8>) throws(WireError) -> String {
    guard let text = String(validating: slice, as: UTF8.self) else { throw .notUTF8 }
    return text
  }
}

/// Takes a message apart, field by field.
public struct ProtoReader {
  private var rest: ArraySlice<UInt8>

  public init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  /// Nil at the end.
  public mutating func next() throws(WireError) -> ProtoField? {
    if rest.isEmpty { return nil }
    let tag = try varint()
    let number = tag >> 3
    guard number >= 1, number < 1 << 29 else { throw .badFieldNumber }
    let value: ProtoField.Value
    switch tag & 7 {
    case 0: value = .varint(try varint())
    case 1: value = .fixed64(try fixed(8))
    case 2:
      let length = try varint()
      guard length <= UInt64(rest.count) else { throw .truncated }
      value = .bytes(rest.prefix(Int(length)))
      rest = rest.dropFirst(Int(length))
    case 5: value = .fixed32(UInt32(try fixed(4)))
    case let other: throw .badWireType(UInt8(other))
    }
    return ProtoField(number: UInt32(number), value: value)
  }

  private mutating func varint() throws(WireError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while shift < 70 {
      guard let byte = rest.popFirst() else { throw .truncated }
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
      shift += 7
    }
    throw .varintTooLong
  }

  private mutating func fixed(_ width: Int) throws(WireError) -> UInt64 {
    guard rest.count >= width else { throw .truncated }
    var value: UInt64 = 0
    for (index, byte) in rest.prefix(width).enumerated() { value |= UInt64(byte) << UInt64(8 * index) }
    rest = rest.dropFirst(width)
    return value
  }
}
