import Glibc
import Testing

/// A client that says what it is told to, when it is told to. Blocking.
final class RawClient {
  enum Kind: UInt8 { case data = 0, headers, reset = 3, settings, ping = 6, goAway, windowUpdate }
  struct Frame: Equatable {
    var type: UInt8
    var flags: UInt8
    var stream: UInt32
    var payload: [UInt8]
    func isA(_ kind: Kind) -> Bool { type == kind.rawValue }
    /// Of a GOAWAY: the last stream that is served.
    var last: UInt32 { payload.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }
  }

  private let descriptor: Int32
  private var buffered: [UInt8] = []
  /// The server has ended the connection; without that `next` gives up after 20 s.
  private(set) var isEnded = false

  static let greeting = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(.settings) + frame(.settings, flags: 1)

  init(_ path: String, says greeting: [UInt8] = RawClient.greeting) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    var limit = timeval(tv_sec: 20, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    for _ in 0..<500 {
      let status = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
      }
      if status == 0 { break }
      usleep(10_000)
    }
    if !greeting.isEmpty { send(greeting) }
  }

  deinit { close(descriptor) }

  func send(_ bytes: [UInt8]) { #expect(write(descriptor, bytes, bytes.count) == bytes.count) }

  /// nil at the connection's end, or when nothing comes.
  func next() -> Frame? {
    while true {
      if buffered.count >= 9 {
        let length = Int(buffered[0]) << 16 | Int(buffered[1]) << 8 | Int(buffered[2])
        if buffered.count >= 9 + length {
          let frame = Frame(
            type: buffered[3], flags: buffered[4], stream: buffered[5..<9].reduce(0) { $0 << 8 | UInt32($1) }, payload: Array(buffered[9..<9 + length]))
          buffered.removeFirst(9 + length)
          return frame
        }
      }
      var bytes = [UInt8](repeating: 0, count: 65536)
      let count = read(descriptor, &bytes, bytes.count)
      isEnded = count == 0
      if count <= 0 { return nil }
      buffered += bytes.prefix(count)
    }
  }

  /// What comes up to this frame, that included; all that comes if it does not.
  func until(_ condition: (Frame) -> Bool) -> [Frame] {
    var frames: [Frame] = []
    while let frame = next() {
      frames.append(frame)
      if condition(frame) { break }
    }
    return frames
  }

  static func frame(_ kind: Kind, flags: UInt8 = 0, stream: UInt8 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    [UInt8(payload.count >> 16), UInt8(payload.count >> 8 & 255), UInt8(payload.count & 255), kind.rawValue, flags, 0, 0, 0, stream] + payload
  }

  static func call(_ stream: UInt8) -> [UInt8] {
    let fields = [
      (":method", "POST"), (":scheme", "http"), (":path", "/t.S/M"), (":authority", "x"), ("content-type", "application/grpc"), ("te", "trailers"),
    ]
    // Without an index, and not compressed (RFC 7541, section 6.2.2).
    let headers = fields.flatMap { (name: String, value: String) -> [UInt8] in
      [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
    }
    return frame(.headers, flags: 4, stream: stream, headers) + frame(.data, flags: 1, stream: stream, [0, 0, 0, 0, 0])
  }

  static let windowUpdate = frame(.windowUpdate, [0, 0, 0, 100])
}
