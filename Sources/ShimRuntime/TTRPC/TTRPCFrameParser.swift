import NIOCore

/// Cuts a byte stream into frames, however the bytes arrive.
///
/// A frame that is too long is not kept: its data is dropped as it comes, in constant memory, and its header is reported so that
/// the one call can be failed and the connection goes on (ttrpc, channel.go). A message type that the protocol does not know
/// means that both sides have lost step, and ends the connection.
struct TTRPCFrameParser {
  enum Item: Equatable {
    case frame(TTRPCFrame)
    case oversized(stream: UInt32, length: UInt32)
  }

  struct UnknownKind: Error, Equatable, CustomStringConvertible {
    var kind: UInt8
    var description: String { "ttrpc message of unknown type \(kind)" }
  }

  private var buffer = ByteBuffer()
  private var toDrop = 0

  mutating func append(_ bytes: ByteBuffer) {
    var bytes = bytes
    if buffer.readableBytes == 0 { buffer = bytes } else { buffer.writeBuffer(&bytes) }
  }

  /// The next whole frame, or nil until more bytes have come.
  mutating func next() throws(UnknownKind) -> Item? {
    if toDrop > 0 {
      let dropped = min(toDrop, buffer.readableBytes)
      buffer.moveReaderIndex(forwardBy: dropped)
      toDrop -= dropped
      if toDrop > 0 { return nil }
    }
    let start = buffer.readerIndex
    guard let (length, stream, rawKind, flags) = buffer.readMultipleIntegers(as: (UInt32, UInt32, UInt8, UInt8).self) else { return nil }
    if length > UInt32(TTRPCFrame.maximumLength) {
      toDrop = Int(length)
      return .oversized(stream: stream, length: length)
    }
    guard let data = buffer.readSlice(length: Int(length)) else {
      buffer.moveReaderIndex(to: start)
      return nil
    }
    guard let kind = TTRPCFrame.Kind(rawValue: rawKind) else { throw UnknownKind(kind: rawKind) }
    buffer.discardReadBytes()
    return .frame(TTRPCFrame(stream: stream, kind: kind, flags: flags, data: data))
  }
}
