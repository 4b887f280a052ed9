import FrameShield
import GRPCTransport
import NIOCore
import NIOEmbedded
import Testing

@Suite struct FrameShieldTests {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  static func frame(type: UInt8, flags: UInt8 = 0, stream: UInt8 = 1, _ payload: [UInt8]) -> [UInt8] {
    [UInt8(payload.count >> 16), UInt8(payload.count >> 8 & 255), UInt8(payload.count & 255), type, flags, 0, 0, 0, stream] + payload
  }

  static let ping = frame(type: 6, [1, 2, 3, 4, 5, 6, 7, 8])
  static let pong = frame(type: 6, flags: 1, [8, 7, 6, 5, 4, 3, 2, 1])
  static let data = frame(type: 0, [UInt8](repeating: 6, count: 300))

  /// Feeds the pieces; returns what passed upwards and what was answered.
  func run(_ pieces: [[UInt8]], limit: Int = 10_000) throws -> (passed: [UInt8], answered: [UInt8], open: Bool) {
    let channel = EmbeddedChannel(handler: FrameShield(limit: limit))
    try channel.connect(to: .init(unixDomainSocketPath: "/x")).wait()
    for piece in pieces where channel.isActive { try channel.writeInbound(ByteBuffer(bytes: piece)) }
    var passed: [UInt8] = []
    while let buffer = try channel.readInbound(as: ByteBuffer.self) { passed += Array(buffer.readableBytesView) }
    var answered: [UInt8] = []
    while case .byteBuffer(let buffer)? = try channel.readOutbound(as: IOData.self) { answered += Array(buffer.readableBytesView) }
    return (passed, answered, channel.isActive)
  }

  @Test func pingsAreAnsweredAndEverythingElsePassesWhereverItIsCut() throws {
    let stream = Self.preface + Self.data + Self.ping + Self.pong + Self.ping + Self.data
    for cut in 0...stream.count {
      let result = try run([Array(stream[..<cut]), Array(stream[cut...])])
      #expect(result.passed == Self.preface + Self.data + Self.pong + Self.data, "cut at \(cut)")
      #expect(result.answered.count == 34 && result.answered[4] == 1 && result.answered[9...16] == [1, 2, 3, 4, 5, 6, 7, 8], "cut at \(cut)")
    }
    #expect(try run(stream.map { [$0] }).passed == Self.preface + Self.data + Self.pong + Self.data)
  }

  @Test func payloadThatLooksLikeAPingIsPayload() throws {
    let stream = Self.preface + Self.frame(type: 0, Self.ping + Self.ping)
    let result = try run([stream])
    #expect(result.passed == stream && result.answered.isEmpty)
  }

  @Test func aFloodClosesTheConnection() throws {
    #expect(try run([Self.preface] + [[UInt8]](repeating: Self.ping, count: 100), limit: 100).open)
    #expect(try !run([Self.preface] + [[UInt8]](repeating: Self.ping, count: 101), limit: 100).open)
  }

  @Test func resetsOfAnnouncedStreamsAreCarriedOutOnceWhereverTheyAreCut() throws {
    func reset(_ stream: UInt8) -> [UInt8] { Self.frame(type: 3, stream: stream, [0, 0, 0, 8]) }
    let stream = Self.preface + Self.data + reset(3) + Self.data + reset(3) + reset(1) + reset(9) + Self.data
    for cut in 0...stream.count {
      let shield = FrameShield()
      var ended: [UInt32: [UInt32]] = [:]
      for number: UInt32 in [1, 3, 5] { shield.opened(number) { ended[number, default: []].append($0) } }
      shield.closed(1)
      let channel = EmbeddedChannel(handler: shield)
      for piece in [stream[..<cut], stream[cut...]] { try channel.writeInbound(ByteBuffer(bytes: piece)) }
      var passed: [UInt8] = []
      while let buffer = try channel.readInbound(as: ByteBuffer.self) { passed += Array(buffer.readableBytesView) }
      // What was never announced is the HTTP/2 handler's; what was and is no more is nobody's.
      #expect(passed == Self.preface + Self.data + Self.data + reset(9) + Self.data, "cut at \(cut)")
      #expect(ended == [3: [8]], "cut at \(cut)")
    }
  }

  @Test func whoResetAStreamIsNotToldOfItsEnd() throws {
    let shield = FrameShield()
    let channel = EmbeddedChannel(handler: shield)
    try channel.connect(to: .init(unixDomainSocketPath: "/x")).wait()
    func reset(_ stream: UInt8) -> [UInt8] { Self.frame(type: 3, stream: stream, [0, 0, 0, 8]) }
    for number: UInt32 in [1, 3] { shield.opened(number) { _ in } }
    try channel.writeInbound(ByteBuffer(bytes: Self.preface + reset(3)))
    // A payload that looks like the reset, after its header; the reset; one that nobody asked for; the same again.
    let writes = [Array(Self.frame(type: 0, stream: 1, reset(3)).prefix(9)), reset(3), reset(3), reset(1), reset(3)]
    for write in writes { try channel.writeOutbound(IOData.byteBuffer(ByteBuffer(bytes: write))) }
    var written: [[UInt8]] = []
    while case .byteBuffer(let buffer)? = try channel.readOutbound(as: IOData.self) { written.append(Array(buffer.readableBytesView)) }
    #expect(written == [writes[0], writes[1], writes[3], writes[4]])
  }
}
