import NIOCore

/// One ttrpc message: a header of ten bytes, big-endian, and its data.
struct TTRPCFrame: Equatable, Sendable {
  enum Kind: UInt8, Sendable {
    case request = 1
    case response = 2
    case data = 3
  }

  static let headerLength = 10
  /// The protocol's limit for the data of one message.
  static let maximumLength = 4 << 20

  var stream: UInt32
  var kind: Kind
  var flags: UInt8 = 0
  var data: ByteBuffer

  /// The caller has checked that the data is not longer than `maximumLength`.
  func write(to buffer: inout ByteBuffer) {
    buffer.reserveCapacity(minimumWritableBytes: Self.headerLength + data.readableBytes)
    buffer.writeMultipleIntegers(UInt32(data.readableBytes), stream, kind.rawValue, flags)
    buffer.writeImmutableBuffer(data)
  }
}
