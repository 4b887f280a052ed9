/// A ttrpc frame: ten bytes of header (length, stream, type, flags; big-endian) and at most 4 MiB of data.
public struct TTRPCFrame: Hashable, Sendable {
  public static let request: UInt8 = 1
  public static let response: UInt8 = 2
  public static let data: UInt8 = 3
  public static let headerSize = 10
  public static let maximumLength = 4 << 20

  public var stream: UInt32
  public var type: UInt8
  public var flags: UInt8
  public var payload: [UInt8]

  public init(stream: UInt32, type: UInt8, flags: UInt8 = 0, payload: [UInt8]) {
    self.stream = stream
    self.type = type
    self.flags = flags
    self.payload = payload
  }

  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.headerSize + payload.count)
    for value in [UInt32(payload.count), stream] {
      for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }
    bytes += [type, flags]
    bytes += payload
    return bytes
  }
}

/// Finds frames in a stream that arrives in pieces of any size.
public struct TTRPCFrameDecoder: Sendable {
  public enum Item: Hashable, Sendable {
    case frame(TTRPCFrame)
    /// The header announced more than a frame may hold; its data is skipped.
    case oversized(stream: UInt32, type: UInt8, length: UInt32)
  }

  private var buffer: [UInt8] = []
  private var start = 0
  private var skip = 0

  public init() {}

  public mutating func feed(_ bytes: some Collection<UInt8>) {
    let skipped = min(skip, bytes.count)
    skip -= skipped
    if start > 0 {
      buffer.removeFirst(start)
      start = 0
    }
    buffer.append(contentsOf: bytes.dropFirst(skipped))
  }

  /// Nil when more bytes are needed.
  public mutating func next() -> Item? {
    guard buffer.count - start >= TTRPCFrame.headerSize else { return nil }
    let length = number(at: start)
    let stream = number(at: start + 4)
    let type = buffer[start + 8]
    let flags = buffer[start + 9]
    let body = start + TTRPCFrame.headerSize
    if Int(length) > TTRPCFrame.maximumLength {
      let here = min(Int(length), buffer.count - body)
      start = body + here
      skip = Int(length) - here
      return .oversized(stream: stream, type: type, length: length)
    }
    guard buffer.count - body >= Int(length) else { return nil }
    start = body + Int(length)
    return .frame(TTRPCFrame(stream: stream, type: type, flags: flags, payload: Array(buffer[body..<start])))
  }

  private func number(at index: Int) -> UInt32 {
    buffer[index..<(index + 4)].reduce(0) { $0 << 8 | UInt32($1) }
  }
}
