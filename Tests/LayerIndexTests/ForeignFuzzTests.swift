import Hashing
import LayerIndex
import Protocols
import Testing

/// Whatever stands in another's index: an error, or an index that is sound and gives no wrong byte. Never a crash, never memory without end.
@Suite struct ForeignFuzzTests {
  private func tryOut(_ blob: [UInt8], _ make: () throws -> LayerIndex?) throws {
    do {
      guard let index = try make() else { return }
      try index.check()
      for entry in index.entries where entry.kind == .file && entry.size <= 1 << 20 {
        do { _ = try index.contents(of: entry, limit: 1 << 20, fetch: fetch(blob)) } catch let error as ContainerdError {
          #expect([.dataLoss, .outOfRange].contains(error.code), "\(error)")
        }
      }
    } catch let error as ContainerdError {
      #expect([.invalidArgument, .dataLoss, .notImplemented].contains(error.code), "\(error)")
    }
  }

  /// One to three bytes, or a number in their place that is on some edge.
  private func mutate(_ bytes: [UInt8], _ range: Range<Int>, _ random: inout Random) -> [UInt8] {
    var bytes = bytes
    for _ in 0...(random.next() % 3) {
      let place = range.lowerBound + Int(random.next() % UInt64(range.count))
      switch random.next() % 4 {
      case 0:
        let edge: [UInt64] = [0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000]
        let (value, width) = (edge[Int(random.next() % 7)], [2, 4, 8][Int(random.next() % 3)])
        for number in 0..<min(width, range.upperBound - place) { bytes[place + number] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(number))) }
      case 1: bytes[place] ^= UInt8(1 << (random.next() % 8))
      default: bytes[place] = UInt8(truncatingIfNeeded: random.next())
      }
    }
    return bytes
  }

  @Test func ztocs() throws {
    let blob = try ForeignScene.fixture("layer.tar.gz")
    let ztoc = try ForeignScene.fixture("soci-flatc.ztoc")
    var random = Random(state: 31)
    // Windows are most of it, and have no structure: all else stands in front of them and behind.
    let behind = try #require(ztoc.indices.first { ztoc[$0...].starts(with: Array("sha256:".utf8)) }) - 200
    for round in 0..<2000 {
      let range = [0..<200, behind..<ztoc.count, behind..<behind + 400, 0..<ztoc.count][round % 4]
      let wrong = mutate(ztoc, range, &random)
      try tryOut(blob) { try ForeignIndex.soci(ztoc: wrong, blob: Digest.of(blob), size: Int64(blob.count)) }
    }
  }

  @Test(arguments: [("estargz", ForeignScene.gzip), ("zstdchunked-skopeo", ForeignScene.zstd), ("zstdchunked-stargz", ForeignScene.zstd)])
  func layersWithATable(name: String, mediaType: String) throws {
    let blob = try ForeignScene.fixture(name)
    var random = Random(state: 37)
    for round in 0..<2500 {
      let wrong = mutate(blob, round % 2 == 0 ? blob.count - 60..<blob.count : max(0, blob.count - 1800)..<blob.count, &random)
      try tryOut(wrong) {
        try ForeignIndex.find(blob: Digest.of(blob), size: Int64(blob.count), mediaType: mediaType, read: fetch(wrong))?.index
      }
    }
  }

  private let contents = Array("0123456789abcdef".utf8)
  private func table(_ extra: String = "", size: String = "16") -> String {
    let frame = HandMade.frame(contents).count
    let row = { (from: Int, digest: Digest) in #""offset":\#(from * frame),"chunkSize":16,"chunkDigest":"\#(digest)""# }
    let one = Digest.of(contents)
    return """
      {"version":1,"entries":[{"type":"dir","name":"d/","mode":493,"modtime":"2020-02-29T12:00:00.5+01:00"},
      {"type":"reg","name":"d/a","size":32,"uid":7,"gid":8,"digest":"\(Digest.of(contents + contents))","endOffset":\(2 * frame),\(row(0, one))},
      {"type":"chunk","name":"d/a","chunkOffset":16,\(row(1, one))},
      {"type":"reg","name":"d/b","size":\(size),"digest":"\(one)","offset":\(2 * frame),"endOffset":\(3 * frame)},
      {"type":"symlink","name":"d/s","linkName":"a","xattrs":{"user.a":"eA=="}},{"type":"char","name":"d/c","devMajor":1,"devMinor":3}\(extra)]}
      """
  }
  private func index(_ table: String) throws -> LayerIndex {
    let blob = HandMade.chunked(contents: HandMade.frame(contents) + HandMade.frame(contents) + HandMade.frame(contents), table: Array(table.utf8))
    return try ForeignIndex.zstdChunked(blob: Digest.of(blob), size: Int64(blob.count), read: fetch(blob))
  }

  @Test func tablesOfContents() throws {
    let good = table()
    let index = try index(good)
    #expect(index.entries.count == 5 && index.entries[0].seconds == 1_582_974_000 && index.entries[0].nanoseconds == 500_000_000)
    let numbers: [Substring] = good.split { !$0.isNumber }.filter { $0.count < 6 }
    var random = Random(state: 41)
    for round in 0..<4000 {
      var bytes = Array(good.utf8)
      if round % 2 == 0 {
        bytes = mutate(bytes, 0..<bytes.count, &random)
      } else {
        let number = numbers[Int(random.next() % UInt64(numbers.count))]
        let edges = ["-1", "0", "9223372036854775807", "-9223372036854775808", "4294967295", "1073741824", "17", "1e300", "null", "\"x\""]
        bytes = Array(good.replacingCharacters(number, by: edges[Int(random.next() % 10)]).utf8)
      }
      let blob = HandMade.chunked(contents: HandMade.frame(contents) + HandMade.frame(contents) + HandMade.frame(contents), table: bytes)
      try tryOut(blob) { try ForeignIndex.zstdChunked(blob: Digest.of(blob), size: Int64(blob.count), read: fetch(blob)) }
    }
  }

  /// As WORKDIR makes them.
  @Test func aLayerOfDirectoriesAndLinksHasOneSpanOfNothing() throws {
    let index = try index(#"{"version":1,"entries":[{"type":"dir","name":"srv/","mode":493},{"type":"symlink","name":"srv/s","linkName":"a"}]}"#)
    try index.check()
    #expect(index.entries.count == 2 && index.spans.count == 1 && index.archiveSize == 0 && index.isSeekable)
    #expect(try IndexFile.decode(try IndexFile.encode(index)) == index)
  }

  @Test(arguments: [
    #",{"type":"chunk","name":"d/c","offset":0}"#, #",{"type":"reg","name":"","size":0}"#, #",{"type":"odd","name":"x"}"#,
    #",{"type":"reg","name":"x","size":4}"#, #",{"type":"reg","name":"x","size":-4}"#, #",{"type":"dir","name":"x","uid":-1}"#,
    #",{"type":"dir","name":"x","gid":4294967295}"#, #",{"type":"dir","name":"x","modtime":"yesterday"}"#, #",{"type":"symlink","name":"x"}"#,
    #",{"type":"char","name":"x","devMajor":-1}"#, #",{"type":"reg","name":"x","size":4,"offset":9000000}"#,
    #",{"type":"reg","name":"x","size":4,"offset":0,"digest":"sha256:12"}"#, #",{"type":"dir","name":"x","xattrs":{"user.a":"not base64"}}"#,
    #",{"type":"reg","name":"x","size":4,"chunkType":"ones"}"#,
  ]) func anEntryThatCannotBeIsRefused(extra: String) throws {
    let error = #expect(throws: ContainerdError.self) { _ = try index(table(extra)) }
    #expect(error?.code == .invalidArgument || error?.code == .notImplemented, "\(String(describing: error))")
    #expect(error?.message.contains("sha256:") == true, "the message names the blob")
  }

  @Test func whatLiesBehindTooMuchIsLeftToAnOrdinaryPull() throws {
    func deep(_ skip: Int64) -> String {
      table(#",{"type":"reg","name":"x","size":4,"offset":0,"innerOffset":\#(skip),"digest":"\#(Digest.of(contents))"}"#)
    }
    let error = #expect(throws: ContainerdError.self) { _ = try index(deep((64 << 20) + 1)) }
    #expect(error?.code == .notImplemented && error?.message.contains("67108865 bytes are packed in front of \"x\"") == true, "\(error?.message ?? "")")
    // There a frame of this length cannot have made as much.
    #expect(#expect(throws: ContainerdError.self) { _ = try index(deep(64 << 20)) }?.code == .invalidArgument)
  }

  @Test func aFileMayNotClaimMoreThanItsFrameCanMake() throws {
    for size in ["9000000", "2000000000", "9000000000000000000"] {
      let error = #expect(throws: ContainerdError.self) { _ = try index(table(size: size)) }
      #expect(error?.code == .invalidArgument)
    }
    // A digest that another has: what is unpacked is compared.
    let other = try index(table(size: "15"))
    let entry = try #require(other.entry(named: Array("d/b".utf8)))
    let blob = HandMade.frame(contents) + HandMade.frame(contents) + HandMade.frame(contents)
    let error = #expect(throws: ContainerdError.self) { _ = try other.contents(of: entry, fetch: fetch(blob)) }
    #expect(error?.code == .dataLoss)
  }
}

extension String {
  /// The first time that it stands in it.
  fileprivate func replacingCharacters(_ part: Substring, by other: String) -> String {
    String(self[..<part.startIndex]) + other + String(self[part.endIndex...])
  }
}
