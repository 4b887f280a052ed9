import NIOCore

/// What an HTTP/2 frame begins with (RFC 9113, section 4.1).
struct FrameHeader {
  static let length = 9

  /// Bytes of the payload.
  let payload: Int
  let stream: UInt32
  private let type: UInt8
  private let flags: UInt8

  /// nil if it has not arrived whole.
  init?(_ buffer: ByteBuffer, at position: Int) {
    guard let head: UInt32 = buffer.getInteger(at: position), let flags: UInt8 = buffer.getInteger(at: position + 4),
      let stream: UInt32 = buffer.getInteger(at: position + 5)
    else { return nil }
    payload = Int(head >> 8)
    type = UInt8(truncatingIfNeeded: head)
    self.flags = flags
    self.stream = stream & 0x7fff_ffff
  }

  /// A PING that asks, as it should be. One that is malformed is for the HTTP/2 handler to complain of.
  var isPing: Bool { type == 6 && flags & 1 == 0 && payload == 8 }
  var isReset: Bool { type == 3 && payload == 4 }
}
