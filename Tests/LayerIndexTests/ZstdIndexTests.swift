import Hashing
import LayerIndex
import Protocols
import SystemKit
import TestSupport
import Testing

@Suite struct ZstdIndexTests {
  private let scene: ForeignScene
  init() throws { scene = try ForeignScene() }

  private func index(_ blob: [UInt8], span: Int64 = 200_000, piece: Int = 10_007) throws -> LayerIndex {
    try LayerIndex.build(from: MemoryBytes(blob, piece: piece), mediaType: ForeignScene.zstd, expected: Digest.of(blob), spanSize: span)
  }

  @Test func framesAreSpans() throws {
    let blob = try scene.make("zstd ARCHIVE OUT 70000").blob + HandMade.skippable(Array("a remark".utf8))
    let index = try index(blob)
    let archive = try Files.read(scene.archive, limit: 1 << 30)
    #expect(index.diffID == Digest.of(archive) && index.archiveSize == archive.count)
    #expect(index.spans.count == (archive.count + 209_999) / 210_000 && index.isSeekable)
    try index.verify(fetch: fetch(blob))
    for entry in index.entries where entry.kind == .file {
      #expect(try index.contents(of: entry, fetch: fetch(blob)) == Files.read(scene.scene.tree + "/" + entry.text, limit: 1 << 30), "\(entry.text)")
    }
    for piece in [1, 13, 65_536, blob.count] { #expect(try self.index(blob, piece: piece) == index) }
    let file = try IndexFile.encode(index)
    #expect(file[8] == 2)
    #expect(try IndexFile.decode(file) == index)
  }

  @Test func oneFrameIsOneSpanThatNobodySeeksIn() throws {
    try scene.scene.run("head -c 9000000 /dev/urandom >usr/noise")
    let blob = try Files.read(scene.scene.layer("tar -c . | zstd -q"), limit: 1 << 30)
    let index = try index(blob)
    #expect(index.spans.count == 1 && !index.isSeekable)
    try index.verify(fetch: fetch(blob))
  }

  @Test func noWrongByteIsUnpacked() throws {
    let blob = try scene.make("zstd ARCHIVE OUT 70000").blob
    let index = try index(blob)
    var random = Random(state: 43)
    for _ in 0..<40 {
      let place = Int(random.next() % UInt64(blob.count))
      var wrong = blob
      wrong[place] ^= UInt8(1 << (random.next() % 8))
      let span = try #require(index.spans.first { $0.blobRange.contains(Int64(place)) })
      let error = #expect(throws: ContainerdError.self) { _ = try index.archive(span.archiveRange, fetch: fetch(wrong)) }
      #expect(error?.code == .dataLoss)
    }
  }

  @Test func brokenLayersGiveErrors() throws {
    let blob = try scene.make("zstd ARCHIVE OUT 70000").blob
    for count in [0, 3, 9, 5000, blob.count - 1] {
      let error = #expect(throws: ContainerdError.self, "the first \(count) bytes") { _ = try index(Array(blob.prefix(count))) }
      #expect(error?.code == .invalidArgument)
    }
    #expect(throws: ContainerdError.self) { _ = try index(blob + [1, 2, 3, 4, 5]) }
    var random = Random(state: 47)
    let short = Array(try scene.make("zstd ARCHIVE OUT 4000000").blob.prefix(40_000))
    for _ in 0..<200 {
      var wrong = short
      for _ in 0...(random.next() % 3) { wrong[Int(random.next() % UInt64(wrong.count))] = UInt8(truncatingIfNeeded: random.next()) }
      let error = #expect(throws: ContainerdError.self) { _ = try index(wrong, span: 4096) }
      #expect(error?.code == .invalidArgument)
    }
  }
}

/// The second version of the file, and what an index may not say.
@Suite struct IndexVersionTests {
  @Test func theOldestVersionThatCanSayItIsWritten() throws {
    let scene = try ForeignScene()
    let gzip = try Files.read(scene.scene.layer("gzip <\(scene.archive)"), limit: 1 << 30)
    let old = try LayerIndex.build(from: MemoryBytes(gzip), mediaType: ForeignScene.gzip)
    #expect(try IndexFile.encode(old)[8] == 1)
    func expectNew(_ change: (inout LayerIndex) -> Void) throws {
      var index = old
      change(&index)
      var file = try IndexFile.encode(index)
      #expect(file[8] == 2)
      #expect(try IndexFile.decode(file) == index)
      // What says that it is older than it is.
      file[8] = 1
      file.replaceSubrange(file.count - 32..<file.count, with: hash(Array(file.dropLast(32))))
      let error = #expect(throws: ContainerdError.self) { _ = try IndexFile.decode(file) }
      #expect(error?.code == .invalidArgument && error?.message.contains("version") == true)
    }
    try expectNew { $0.diffID = nil }
    try expectNew { $0.archive = .beginning }
    try expectNew { $0.spans[0].covers = .archive }
    try expectNew { index in index.prefetch = [index.entries.firstIndex { $0.kind == .file } ?? 0] }
    var file = try IndexFile.encode(old)
    file[8] = 3
    file.replaceSubrange(file.count - 32..<file.count, with: hash(Array(file.dropLast(32))))
    #expect(throws: ContainerdError.self) { _ = try IndexFile.decode(file) }
  }

  private func hash(_ bytes: [UInt8]) -> [UInt8] {
    let hex = Array(Digest.of(bytes).hex)
    return stride(from: 0, to: hex.count, by: 2).map { UInt8(String(hex[$0...$0 + 1]), radix: 16) ?? 0 }
  }

  @Test func whatContradictsItselfIsRefused() throws {
    let blob = try ForeignScene.fixture("estargz")
    let good = try ForeignIndex.eStargz(blob: Digest.of(blob), size: Int64(blob.count), tocDigest: nil, read: fetch(blob))
    func refused(_ what: String, _ change: (inout LayerIndex) -> Void) throws {
      var index = good
      change(&index)
      let error = #expect(throws: ContainerdError.self, "\(what)") { _ = try IndexFile.decode(try IndexFile.encode(index)) }
      #expect(error?.code == .invalidArgument, "\(what)")
    }
    let size = Int64(blob.count)
    try refused("a span ends behind the blob") { $0.spans[1].blobRange = $0.spans[1].blobRange.lowerBound..<size + 1 }
    try refused("spans are not in order") { $0.spans[0].blobRange = size - 5..<size }
    try refused("more is skipped than may be") { $0.spans[1].skip = .max }
    try refused("less than nothing is skipped") { $0.spans[1].skip = -1 }
    try refused("it says that it is the whole archive") { $0.archive = .tar }
    try refused("it says that it is the beginning") { $0.archive = .beginning }
    try refused("a directory is to be fetched first") { index in index.prefetch = [index.entries.firstIndex { $0.kind == .directory } ?? 0] }
    try refused("nothing is to be fetched first") { $0.prefetch = [$0.entries.count] }
    try refused("files of more than can be added up") { index in
      for place in index.entries.indices where index.entries[place].kind == .file { index.entries[place].size = .max }
    }
    try refused("a file of less than no bytes") { index in
      let place = index.entries.firstIndex { !$0.pieces.isEmpty } ?? 0
      index.entries[place].size = .min
    }
  }
}
