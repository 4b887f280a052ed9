import NIOCore
import Testing

@testable import ShimRuntime

@Suite struct TTRPCFrameTests {
  private let frames = [
    TTRPCFrame(stream: 1, kind: .request, data: ByteBuffer(string: "hello")),
    TTRPCFrame(stream: 3, kind: .response, flags: 1, data: ByteBuffer()),
    TTRPCFrame(stream: 0xffff_fffd, kind: .data, flags: 4, data: ByteBuffer(repeating: 7, count: 300)),
  ]

  private func bytes(of frames: [TTRPCFrame]) -> ByteBuffer {
    var buffer = ByteBuffer()
    for frame in frames { frame.write(to: &buffer) }
    return buffer
  }

  private func parse(_ parts: [ByteBuffer]) throws -> [TTRPCFrameParser.Item] {
    var parser = TTRPCFrameParser()
    var items: [TTRPCFrameParser.Item] = []
    for part in parts {
      parser.append(part)
      while let item = try parser.next() { items.append(item) }
    }
    return items
  }

  @Test func headerIsTheOneSeenOnTheWire() {
    let data = ByteBuffer(repeating: 0, count: 663)
    var buffer = ByteBuffer()
    TTRPCFrame(stream: 1, kind: .request, data: data).write(to: &buffer)
    #expect(Array(buffer.readableBytesView.prefix(10)) == [0x00, 0x00, 0x02, 0x97, 0, 0, 0, 1, 1, 0])
  }

  @Test func framesAreFoundWhereverTheBytesAreSplit() throws {
    let whole = bytes(of: frames)
    for split in 0...whole.readableBytes {
      let parts = [
        whole.getSlice(at: 0, length: split)!, whole.getSlice(at: split, length: whole.readableBytes - split)!,
      ]
      #expect(try parse(parts) == frames.map { .frame($0) }, "split after byte \(split)")
    }
  }

  @Test func framesAreFoundByteByByte() throws {
    let parts = bytes(of: frames).readableBytesView.map { ByteBuffer(bytes: [$0]) }
    #expect(try parse(parts) == frames.map { .frame($0) })
  }

  @Test(arguments: [1, 7, 4096, 1 << 20, 6 << 20])
  func anOversizedFrameIsDroppedAndTheNextOneFound(chunk: Int) throws {
    var stream = ByteBuffer()
    let length = UInt32(TTRPCFrame.maximumLength + 1)
    stream.writeMultipleIntegers(length, UInt32(5), UInt8(2), UInt8(0))
    // Byte by byte over four megabytes would be all this test does: small chunks only around the edges.
    var parts: [ByteBuffer] = [stream]
    var left = Int(length)
    while left > 0 {
      let size = min(left, left > 64 && left < Int(length) - 64 ? max(chunk, 1 << 16) : chunk)
      parts.append(ByteBuffer(repeating: 0xaa, count: size))
      left -= size
    }
    parts.append(bytes(of: [frames[0]]))
    #expect(try parse(parts) == [.oversized(stream: 5, length: length), .frame(frames[0])])
  }

  @Test func aFrameOfTheLargestSizePasses() throws {
    let frame = TTRPCFrame(stream: 1, kind: .request, data: ByteBuffer(repeating: 1, count: TTRPCFrame.maximumLength))
    #expect(try parse([bytes(of: [frame])]) == [.frame(frame)])
  }

  @Test func anUnknownTypeIsAnError() {
    #expect(throws: TTRPCFrameParser.UnknownKind(kind: 9)) {
      try parse([ByteBuffer(bytes: [0, 0, 0, 0, 0, 0, 0, 1, 9, 0])])
    }
  }
}
