import ShimWire
import Testing

@Suite struct FrameTests {
  static let frames = [
    TTRPCFrame(stream: 1, type: TTRPCFrame.request, payload: [1, 2, 3]), TTRPCFrame(stream: 0xFFFF_FFFF, type: TTRPCFrame.response, flags: 7, payload: []),
    TTRPCFrame(stream: 3, type: TTRPCFrame.data, payload: [UInt8](repeating: 9, count: 300)),
  ]

  private func drain(_ decoder: inout TTRPCFrameDecoder) -> [TTRPCFrameDecoder.Item] {
    var items: [TTRPCFrameDecoder.Item] = []
    while let item = decoder.next() { items.append(item) }
    return items
  }

  @Test func theHeaderIsTheKnownOne() {
    #expect(Self.frames[0].encoded == [0, 0, 0, 3, 0, 0, 0, 1, 1, 0, 1, 2, 3])
  }

  @Test func framesAreFoundHoweverTheStreamIsCut() {
    let bytes = Self.frames.flatMap(\.encoded)
    for cut in 0...bytes.count {
      var decoder = TTRPCFrameDecoder()
      decoder.feed(bytes[..<cut])
      var found = drain(&decoder)
      decoder.feed(bytes[cut...])
      found += drain(&decoder)
      #expect(found == Self.frames.map { .frame($0) })
    }
    var decoder = TTRPCFrameDecoder()
    var found: [TTRPCFrameDecoder.Item] = []
    for byte in bytes {
      decoder.feed([byte])
      found += drain(&decoder)
    }
    #expect(found == Self.frames.map { .frame($0) })
  }

  @Test func aFrameThatIsTooLongIsToldAndSkipped() {
    let length = TTRPCFrame.maximumLength + 1
    var decoder = TTRPCFrameDecoder()
    decoder.feed([0x00, 0x40, 0x00, 0x01, 0, 0, 0, 5, 1, 0] + [7, 7])
    #expect(drain(&decoder) == [.oversized(stream: 5, type: 1, length: UInt32(length))])
    decoder.feed([UInt8](repeating: 7, count: length - 2) + Self.frames[0].encoded)
    #expect(drain(&decoder) == [.frame(Self.frames[0])])
  }

  @Test func theLongestFramePasses() {
    let frame = TTRPCFrame(stream: 1, type: 1, payload: [UInt8](repeating: 1, count: TTRPCFrame.maximumLength))
    var decoder = TTRPCFrameDecoder()
    decoder.feed(frame.encoded)
    #expect(drain(&decoder) == [.frame(frame)])
  }

  @Test func noiseNeverCrashes() {
    var dice = CodecTests.Dice()
    for _ in 0..<2000 {
      var decoder = TTRPCFrameDecoder()
      for _ in 0..<4 {
        decoder.feed((0..<Int.random(in: 0..<60, using: &dice)).map { _ in UInt8.random(in: 0...255, using: &dice) })
        _ = drain(&decoder)
      }
    }
  }
}
