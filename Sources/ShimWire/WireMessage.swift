/// A protobuf message.
public protocol WireMessage: Hashable, Sendable {
  /// All fields at their defaults.
  init()
  /// Takes one field; unknown ones are ignored.
  mutating func take(_ field: ProtoField) throws(WireError)
  func write(to writer: inout ProtoWriter)
}

extension WireMessage {
  public init(wire bytes: ArraySlice<UInt8>) throws(WireError) {
    self.init()
    try merge(bytes)
  }
  public init(wire bytes: [UInt8]) throws(WireError) { try self.init(wire: bytes[...]) }

  mutating func merge(_ bytes: ArraySlice<UInt8>) throws(WireError) {
    var reader = ProtoReader(bytes)
    while let field = try reader.next() { try take(field) }
  }

  public var encoded: [UInt8] {
    var writer = ProtoWriter()
    write(to: &writer)
    return writer.bytes
  }
}

/// `google.protobuf.Empty`.
public struct Empty: WireMessage {
  public init() {}
  public mutating func take(_ field: ProtoField) throws(WireError) {}
  public func write(to writer: inout ProtoWriter) {}
}
