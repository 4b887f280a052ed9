import Hashing
import Protocols
import Testing

@testable import LayerIndex

@Suite struct AccessListTests {
  private static func index(_ count: Int, step: Int64 = 100) -> LayerIndex {
    let spans = (0..<Int64(count)).map { number in
      LayerIndex.Span(
        blobRange: number * step..<(number + 1) * step, archiveRange: number * 300..<(number + 1) * 300, digest: .of([UInt8(number & 0xff)]))
    }
    return LayerIndex(
      blob: .of([1]), size: Int64(count) * step, packing: .plain, diffID: nil, archiveSize: Int64(count) * 300, spans: spans, entries: [])
  }
  private let table = AccessList.Table(Self.index(100_000))

  /// Bytes with the digest that they should end with.
  private func sealed(_ bytes: [UInt8]) -> [UInt8] { bytes + Digest.of(bytes).bytes }
  private func head(_ count: UInt8) -> [UInt8] {
    var bytes = Array(AccessList([]).encode(for: table).dropLast(32))
    bytes[12] = count
    return bytes
  }

  private func refusal(_ bytes: [UInt8]) -> String? {
    do throws(ContainerdError) {
      _ = try AccessList(decoding: bytes, of: table)
      return nil
    } catch { return error.code == .invalidArgument ? error.message : "\(error)" }
  }

  @Test func whatIsWrittenIsReadInItsOrder() throws {
    for spans in [[], [0], [99_999], [5, 4, 3, 99_999, 0, 64, 63, 127, 128, 50_000], Array((0..<1000).reversed())] {
      let bytes = AccessList(spans).encode(for: table)
      #expect(try AccessList(decoding: bytes, of: table).spans == spans)
    }
    // A byte for each where one follows the other.
    #expect(AccessList(Array(0..<1000)).encode(for: table).count == 48 + 1000 + 32)
  }

  @Test func noByteOfItMayBeAnother() {
    let bytes = AccessList([7, 3, 9, 4000]).encode(for: table)
    for place in bytes.indices {
      var other = bytes
      other[place] ^= 0x10
      #expect(refusal(other) != nil, "byte \(place)")
    }
    for count in 0..<bytes.count { #expect(refusal(Array(bytes.prefix(count))) != nil, "the first \(count) bytes") }
  }

  @Test func itBelongsToOneLayerAndItsSpans() throws {
    let bytes = AccessList([1, 2]).encode(for: table)
    for other in [Self.index(100_000, step: 101), Self.index(99_999)] {
      let error = #expect(throws: ContainerdError.self) { try AccessList(decoding: bytes, of: AccessList.Table(other)) }
      #expect(error?.message.contains("of another layer, or of other spans") == true)
    }
  }

  @Test func whatMakesNoSenseIsRefusedThoughItsDigestIsRight() {
    #expect(refusal(sealed(head(2) + [2, 2])) == nil)
    #expect(refusal(sealed(head(2) + [2, 0]))?.contains("twice") == true)
    #expect(refusal(sealed(head(1) + [3]))?.contains("has span -1") == true)
    #expect(refusal(sealed(head(1) + [0xff, 0xff, 0x3f]))?.contains("the layer has 100000") == true)
    #expect(refusal(sealed(head(1) + [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]))?.contains("in the middle") == true)
    #expect(refusal(sealed(head(2) + [2]))?.contains("in the middle") == true)
    #expect(refusal(sealed(head(1) + [2, 2]))?.contains("more than these") == true)
  }

  @Test func itsLengthIsBounded() throws {
    let long = AccessList(Array(0..<AccessList.most + 100)).encode(for: table)
    #expect(try AccessList(decoding: long, of: table).spans == Array(0..<AccessList.most))
    var tooMany = Array(long.dropLast(32)) + [2]
    for place in 0..<4 { tooMany[12 + place] = UInt8(truncatingIfNeeded: (AccessList.most + 1) >> (8 * place)) }
    #expect(refusal(sealed(tooMany))?.contains("at most \(AccessList.most)") == true)
    #expect(refusal([UInt8](repeating: 0, count: AccessList.mostBytes + 1)) != nil)
  }
}
