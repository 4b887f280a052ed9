import NIOCore

/// What an HTTP/2 frame begins with (RFC 9113, sections 4.1 and 6).
struct FrameHeader {
  static let length = 9

  enum Kind: UInt8 {
    case data = 0
    case headers, priority, reset, settings, pushPromise, ping, goAway, windowUpdate, continuation
  }

  /// Bytes of the payload.
  let payload: Int
  let stream: UInt32
  /// nil for a kind that is not known.
  let type: Kind?
  private let flags: UInt8

  /// nil if it has not arrived whole.
  init?(_ buffer: ByteBuffer, at position: Int) {
    guard let head: UInt32 = buffer.getInteger(at: position), let flags: UInt8 = buffer.getInteger(at: position + 4),
      let stream: UInt32 = buffer.getInteger(at: position + 5)
    else { return nil }
    payload = Int(head >> 8)
    type = Kind(rawValue: UInt8(truncatingIfNeeded: head))
    self.flags = flags
    self.stream = stream & 0x7fff_ffff
  }

  // Malformed ones are for the HTTP/2 handler to complain of.
  var isPing: Bool { type == .ping && flags & 1 == 0 && payload == 8 }
  /// The answer to one.
  var isPong: Bool { type == .ping && flags & 1 == 1 && payload == 8 }
  var isReset: Bool { type == .reset && payload == 4 }
  var isSettingsAnswer: Bool { type == .settings && flags & 1 == 1 }
}

extension ByteBuffer {
  mutating func writePing(_ opaque: UInt64, isAnswer: Bool) {
    writeHeader(payload: 8, .ping, flags: isAnswer ? 1 : 0)
    writeInteger(opaque)
  }

  /// Without an error. - Parameter last: the highest number of a stream that is still served.
  mutating func writeGoAway(last: UInt32) {
    writeHeader(payload: 8, .goAway, flags: 0)
    writeInteger(last)
    writeInteger(UInt32(0))
  }

  /// Of the connection.
  private mutating func writeHeader(payload: Int, _ type: FrameHeader.Kind, flags: UInt8) {
    writeInteger(UInt32(payload << 8) | UInt32(type.rawValue))
    writeInteger(flags)
    writeInteger(UInt32(0))
  }
}
