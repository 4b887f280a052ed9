import CLinux
import Hashing
import Protocols
import SystemKit
import TarReading
import TestSupport
import Testing

@testable import LayerIndex

private let gzipType = "application/vnd.oci.image.layer.v1.tar+gzip"
private let plainType = "application/vnd.oci.image.layer.v1.tar"
private let tar = "tar -c --sparse --format=pax --xattrs ."

@Suite struct LayerIndexTests {
  private let scene: LayerScene
  init() throws { scene = try LayerScene() }

  private func bytes(_ file: String) throws -> [UInt8] { try Files.read(file, limit: 1 << 30) }
  private func index(_ blob: [UInt8], _ mediaType: String = gzipType, span: Int64 = 64 << 10, piece: Int = 10_007) throws -> LayerIndex {
    try LayerIndex.build(from: MemoryBytes(blob, piece: piece), mediaType: mediaType, spanSize: span)
  }
  private func fetch(_ blob: [UInt8]) -> LayerIndex.Fetch { { Array(blob[Int($0.lowerBound)..<Int($0.upperBound)]) } }

  @Test(arguments: [
    (tar + " | gzip -6", gzipType), (tar + " | gzip -1", gzipType), (tar + " | gzip -9n", gzipType), (tar, plainType),
    // Several members; a stored one; padding at the end.
    (tar + " >/tmp/$$.t; split -b 300000 --filter=gzip /tmp/$$.t; rm /tmp/$$.t", gzipType),
    ("\(tar) >/tmp/$$.t; head -c 100000 /tmp/$$.t | gzip; tail -c +100001 /tmp/$$.t | gzip -1; head -c 600 /dev/zero; rm /tmp/$$.t", gzipType),
    ("tar -c --format=gnu --sparse . | gzip", gzipType), ("tar -c --format=ustar --mtime=@7 --exclude='long-name*' . | gzip", gzipType),
  ]) func everyFileOfALayerIsReadBySpans(line: String, mediaType: String) throws {
    let blob = try bytes(scene.layer(line))
    let index = try index(blob, mediaType)
    try index.check()
    #expect(index.spans.count > 8)
    #expect(index.size == blob.count && index.blob == Digest.of(blob))
    try index.verify(fetch: fetch(blob))
    var files = 0
    for entry in index.entries where entry.kind == .file {
      let path = scene.tree + "/" + entry.text
      // A name that is no UTF-8 cannot be a String's path: its contents are known.
      let there = Files.exists(path) ? try bytes(path) : Array("x".utf8)
      let read = try index.contents(of: entry, fetch: fetch(blob))
      #expect(read == there, "\(entry.text)")
      files += 1
    }
    #expect(files > 64)
  }

  @Test func ofAnAttributeThatComesTwiceTheLastCounts() throws {
    let make = "d=$(mktemp -d) && echo x >$d/f && setfattr -n user.note -v one $d/f && setfattr -n user.notf -v two $d/f"
    let blob = try bytes(scene.layer("\(make) && tar -c --format=pax --xattrs -C $d f | sed s/user.notf/user.note/ && rm -r $d"))
    // In which order tar writes them is its own matter.
    let text = String(decoding: blob, as: UTF8.self)
    let (one, two) = (try #require(text.firstRange(of: "=one")), try #require(text.firstRange(of: "=two")))
    let last = one.lowerBound < two.lowerBound ? "two" : "one"
    let entry = try #require(try index(blob, plainType).entry(named: Array("f".utf8)))
    #expect(entry.attributes == [LayerIndex.Attribute(name: "user.note", value: Array(last.utf8))])
  }

  @Test func entriesAreWhatTheFilesAre() throws {
    let blob = try bytes(scene.layer(tar + " | gzip"))
    let index = try index(blob)
    func entry(_ name: String) throws -> LayerIndex.Entry { try #require(index.entry(named: Array(name.utf8))) }
    for name in ["usr/large", "usr/text", "usr/lib/deep", "usr/fifo", "usr/lib/link"] {
      let entry = try entry(name)
      var status = stat()
      #expect(lstat(scene.tree + "/" + name, &status) == 0)
      #expect(entry.mode == status.st_mode & 0o7777 && entry.owner == status.st_uid && entry.group == status.st_gid, "\(name)")
      #expect(entry.seconds == status.st_mtim.tv_sec && Int(entry.nanoseconds) == status.st_mtim.tv_nsec, "\(name)")
    }
    #expect(try entry("usr/text").seconds == -3 && (try entry("usr/text").nanoseconds) == 750_000_000)
    #expect(try entry("usr/lib/link").kind == .symlink && (try entry("usr/lib/link").link) == Array("../usr/text".utf8))
    let links = index.entries.filter { $0.kind == .hardlink }
    #expect(links.count == 1)
    #expect(try entry("usr/fifo").kind == .fifo)
    let holes = try entry("usr/holes")
    #expect(holes.size == (1 << 20) + 4 && holes.pieces.reduce(0) { $0 + $1.count } < 100_000, "a sparse file takes no place for its holes")
    #expect(index.entries.contains { $0.name == Array("./latin-".utf8) + [0xE9] })
  }

  /// libarchive takes an ENOMEM that was there before for its own, where a name is no UTF-8.
  @Test func whatWasWrongBeforeIsNotTheArchives() throws {
    let bytes = try bytes(scene.layer(tar))
    let blob = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    defer { blob.deallocate() }
    blob.copyBytes(from: bytes)
    var (at, names): (Int, [[UInt8]]) = (0, [])
    clinux_set_errno(ENOMEM)
    try TarReader.forEachEntry(of: {
      clinux_set_errno(ENOMEM)
      if at == blob.count { return nil }
      let piece = UnsafeRawBufferPointer(rebasing: blob[at..<min(at + 512, blob.count)])
      at += piece.count
      return piece
    }) {
      names.append(Array(UnsafeBufferPointer(start: $0.name, count: strlen($0.name))).map { UInt8(bitPattern: $0) })
      clinux_set_errno(ENOMEM)
    }
    #expect(names.contains(Array("./latin-".utf8) + [0xE9]))
  }

  @Test func aSmallFileNeedsNoMoreThanItsSpans() throws {
    let blob = try bytes(scene.layer(tar + " | gzip"))
    let index = try index(blob)
    let entry = try #require(index.entries.first { $0.size == 511 })
    var read: Int64 = 0
    _ = try index.contents(of: entry) {
      read += $0.upperBound - $0.lowerBound
      return try fetch(blob)($0)
    }
    #expect(read > 0 && read < Int64(blob.count) / 4, "\(read) of \(blob.count)")
    _ = try index.contents(of: try #require(index.entries.first { $0.kind == .file && $0.size == 0 })) { _ in throw ContainerdError(.unknown, "nothing to read")
    }
  }

  @Test func howTheBytesComeChangesNothing() throws {
    let blob = try bytes(scene.layer("tar -c usr/text usr/lib/deep usr/lib/file-1* | gzip"))
    let whole = try index(blob, piece: blob.count)
    for piece in [1, 13, 512, 65_536] { #expect(try index(blob, piece: piece) == whole) }
  }

  @Test func noWrongByteIsUnpacked() throws {
    let blob = try bytes(scene.layer(tar + " | gzip"))
    let index = try index(blob)
    var random = Random(state: 7)
    for _ in 0..<60 {
      let place = Int(random.next() % UInt64(blob.count))
      var wrong = blob
      wrong[place] ^= UInt8(1 << (random.next() % 8))
      for span in index.spans {
        let part = Array(wrong[Int(span.blobRange.lowerBound)..<Int(span.blobRange.upperBound)])
        if span.blobRange.contains(Int64(place)) {
          let error = #expect(throws: ContainerdError.self) { _ = try index.unpack(span, from: part) }
          #expect(error?.code == .dataLoss && error?.message.contains("\(span.blobRange.lowerBound)") == true)
        }
      }
      let error = #expect(throws: ContainerdError.self) { _ = try index.verify(fetch: fetch(wrong)) }
      #expect(error?.code == .dataLoss)
    }
    let first = index.spans[0]
    #expect(throws: ContainerdError.self) { _ = try index.unpack(first, from: []) }
  }

  @Test func aLayerThatIsNotTheExpectedOneHasNoIndex() throws {
    let blob = try bytes(scene.layer(tar + " | gzip"))
    let other = Digest.of([1])
    let error = #expect(throws: ContainerdError.self) {
      _ = try LayerIndex.build(from: MemoryBytes(blob), mediaType: gzipType, expected: other)
    }
    #expect(error?.code == .dataLoss && error?.message.contains("\(other)") == true)
    for count in [0, 1, 9, 5000, blob.count - 1] {
      let error = #expect(throws: ContainerdError.self) { _ = try index(Array(blob.prefix(count))) }
      #expect(error?.code == .invalidArgument, "the first \(count) bytes")
    }
    #expect(throws: ContainerdError.self) { _ = try index(blob + [1, 2, 3]) }
    let zstd = #expect(throws: ContainerdError.self) { _ = try index(blob, plainType + "+zstd") }
    #expect(zstd?.code == .invalidArgument)
    let unknown = #expect(throws: ContainerdError.self) { _ = try index(blob, "application/vnd.oci.image.layer.v1.tar+bzip2") }
    #expect(unknown?.code == .notImplemented)
    #expect(throws: ContainerdError.self) { _ = try index(blob, span: 100) }
  }

  @Test func aFileOfHolesMayClaimAnySize() throws {
    try scene.run("truncate -s 4T usr/endless; printf x >>usr/endless")
    let blob = try bytes(scene.layer("tar -c --sparse usr/endless | gzip"))
    let index = try index(blob)
    let entry = try #require(index.entries.first)
    #expect(entry.size == (4 << 40) + 1 && entry.digest == nil)
    let error = #expect(throws: ContainerdError.self) { _ = try index.contents(of: entry, fetch: fetch(blob)) }
    #expect(error?.code == .resourceExhausted)
  }

  /// Pieces of none: what follows in the archive is not the file's. And names are those of the archive, whoever else composes their letters.
  @Test(arguments: [1, 513, 10_007]) func aFileOfOneHoleHasNoPiece(_ piece: Int) throws {
    let names = ["e\u{301}", "\u{e9}"]
    let blob = try bytes(
      scene.layer(
        """
        python3 -c '
        import io, sys, tarfile
        tar = tarfile.open(mode="w|", fileobj=sys.stdout.buffer, format=tarfile.PAX_FORMAT)
        for name, data, more in (("e\\u0301", b"0\\n" + bytes(510), {"GNU.sparse.name": "e\\u0301", "GNU.sparse.realsize": "5000"}), ("\\u00e9", b"SECRET" * 9, {})):
          info = tarfile.TarInfo(name)
          info.size = len(data)
          info.pax_headers = dict(more, **({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"} if more else {}))
          tar.addfile(info, io.BytesIO(data))
        tar.close()'
        """))
    let index = try index(blob, plainType, piece: piece)
    try index.check()
    #expect(index.entries.map(\.name) == names.map { Array($0.utf8) })
    let hole = try #require(index.entries.first)
    #expect(hole.size == 5000 && hole.pieces.isEmpty)
    #expect(try index.contents(of: hole, fetch: fetch(blob)) == [UInt8](repeating: 0, count: 5000))
    try index.verify(fetch: fetch(blob))
  }

  @Test func brokenLayersGiveErrorsOrAnIndexThatHolds() throws {
    let blob = try bytes(scene.layer("tar -c usr/lib/deep usr/fifo usr/lib/link usr/lib/file-1 | gzip"))
    var random = Random(state: 11)
    for _ in 0..<300 {
      var wrong = blob
      for _ in 0...(random.next() % 3) { wrong[Int(random.next() % UInt64(wrong.count))] = UInt8(truncatingIfNeeded: random.next()) }
      do { try index(wrong, span: 4096).verify(fetch: fetch(wrong)) } catch let error as ContainerdError { #expect(error.code == .invalidArgument, "\(error)") }
    }
  }
}

@Suite struct IndexFileTests {
  private func sample() throws -> (LayerIndex, [UInt8]) {
    let scene = try LayerScene(seed: 3)
    let blob = try Files.read(scene.layer(tar + " | gzip"), limit: 1 << 30)
    return (try LayerIndex.build(from: MemoryBytes(blob), mediaType: gzipType, spanSize: 256 << 10), blob)
  }

  @Test func whatATableOfSpansHasNoRoomForIsRefused() throws {
    var (index, _) = try sample()
    try index.check()
    _ = try SpanTable.encode(index)
    let longer = Digest(.sha512, hash: [UInt8](repeating: 7, count: 64)[...])
    index.spans[0].digest = longer
    #expect(throws: ContainerdError.self) { try index.check() }
    #expect(throws: ContainerdError.self) { try SpanTable.encode(index) }
  }

  @Test(arguments: [(0, 8), (1, 0), (1, 16), (2, 8)]) func aTableOfSpansThatIsNotInOrderIsNotUsed(row: Int, column: Int) throws {
    let (index, _) = try sample()
    let scratch = ScratchDirectory("spans")
    let (path, bytes) = (scratch.path + "/spans", try SpanTable.encode(index))
    try Files.writeAtomically(bytes, to: path)
    #expect(try SpanTable(path: path, blob: index.blob).count == index.spans.count)
    for value in [Int64.min, Int64.max] {
      var wrong = bytes
      withUnsafeBytes(of: value) { wrong.replaceSubrange(64 + 88 * row + column..<64 + 88 * row + column + 8, with: $0) }
      try Files.writeAtomically(wrong, to: path)
      #expect(throws: ContainerdError.self) { try SpanTable(path: path, blob: index.blob) }
    }
  }

  @Test func aDeviceThatTheKernelWouldTakeForAnotherIsRefused() throws {
    var (index, _) = try sample()
    index.entries[0].minor = 1 << 20
    #expect(throws: ContainerdError.self) { try index.check() }
  }

  @Test func anIndexIsTheSameAfterItsFile() throws {
    let (index, _) = try sample()
    let file = try IndexFile.encode(index)
    #expect(try IndexFile.decode(file) == index)
    #expect(try IndexFile.encode(index) == file, "the same index gives the same bytes: its digest can be pinned")
  }

  @Test func noDamagedFileIsAnIndex() throws {
    let (index, _) = try sample()
    let file = try IndexFile.encode(index)
    for count in [0, 7, 8, 27, 28, 60, file.count / 2, file.count - 1] {
      let error = #expect(throws: ContainerdError.self) { _ = try IndexFile.decode(Array(file.prefix(count))) }
      #expect(error?.code == .invalidArgument)
    }
    var random = Random(state: 5)
    for _ in 0..<100 {
      var wrong = file
      wrong[Int(random.next() % UInt64(file.count))] ^= UInt8(1 << (random.next() % 8))
      #expect(throws: ContainerdError.self) { _ = try IndexFile.decode(wrong) }
    }
    #expect(throws: ContainerdError.self) { _ = try IndexFile.decode(file + [0]) }
  }

  @Test func anIndexThatContradictsItselfIsRefused() throws {
    let (good, _) = try sample()
    func refused(_ what: String, _ change: (inout LayerIndex) -> Void) throws {
      var index = good
      change(&index)
      let error = #expect(throws: ContainerdError.self, "\(what)") { _ = try IndexFile.decode(try IndexFile.encode(index)) }
      #expect(error?.code == .invalidArgument, "\(what)")
    }
    let file = try #require(good.entries.firstIndex { $0.size > 1000 })
    try refused("a span is missing") { $0.spans.remove(at: 1) }
    try refused("the last span is missing") { $0.spans.removeLast() }
    try refused("the archive is longer") { $0.archiveSize += 1 }
    try refused("the blob is longer") { $0.size += 1 }
    try refused("a file lies behind the archive") { $0.entries[file].pieces[0].place = $0.archiveSize - 10 }
    try refused("a file lies before the archive") { $0.entries[file].pieces[0].place = -1 }
    try refused("a piece is as long as can be") { $0.entries[file].pieces = [LayerIndex.Piece(offset: 1, place: 1, count: .max)] }
    try refused("pieces overlap") { index in
      let piece = index.entries[file].pieces[0]
      index.entries[file].pieces = [piece, piece]
    }
    try refused("a window is too long") { $0.spans[1].start = .block(bits: 3, window: [UInt8](repeating: 0, count: 40_000)) }
    try refused("a span makes more of its bytes than deflate can") { index in
      index.archiveSize = 1 << 50
      index.spans[index.spans.count - 1].archiveRange = index.spans[index.spans.count - 1].archiveRange.lowerBound..<(1 << 50)
    }
    try refused("eight bits of a byte") { index in
      guard case .block(_, let window) = index.spans[1].start else { return }
      index.spans[1].start = .block(bits: 8, window: window)
    }
  }

  @Test func anotherLayersIndexDoesNotHold() throws {
    let (index, _) = try sample()
    let other = try LayerScene(seed: 9)
    let blob = try Files.read(other.layer(tar + " | gzip"), limit: 1 << 30)
    let error = #expect(throws: ContainerdError.self) {
      try index.verify { range in
        guard range.upperBound <= blob.count else { throw ContainerdError(.dataLoss, "the blob ends before") }
        return Array(blob[Int(range.lowerBound)..<Int(range.upperBound)])
      }
    }
    #expect(error?.code == .dataLoss)
  }
}
