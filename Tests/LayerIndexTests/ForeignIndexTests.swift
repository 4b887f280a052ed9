import CLinux
import Hashing
import LayerIndex
import Protocols
import SystemKit
import TestSupport
import Testing

private let checksum = "io.github.containers.zstd-chunked.manifest-checksum"
private let toc = "containerd.io/snapshot/stargz/toc.digest"

/// One of the formats, with a layer in it.
private struct Sample {
  var blob: [UInt8]
  /// Of what is read by; the layer itself where it has the table in it.
  var ztoc: [UInt8]?
  var annotations: [String: String]
  var mediaType: String

  static let kinds = [
    "soci", "soci-1", "soci-members", "soci-named", "soci-plain", "estargz", "estargz-legacy", "estargz-inner", "zstd-chunked", "zstd-chunked-old",
  ]

  init(_ kind: String, _ scene: ForeignScene) throws {
    (annotations, mediaType) = ([:], ForeignScene.gzip)
    switch kind {
    case "soci", "soci-1", "soci-members", "soci-named", "soci-plain":
      let pack =
        switch kind {
        case "soci-plain": "cat"
        case "soci-named": "gzip -6 --name"
        case "soci-members": "split -b 900000 --filter='gzip -n -1'"
        default: "gzip -n -6"
        }
      let packed = try scene.scene.layer(kind == "soci-named" ? "cp \(scene.archive) ../copy; gzip -kc ../copy" : "\(pack) <\(scene.archive)")
      blob = try Files.read(packed, limit: 1 << 30)
      ztoc = try scene.make("soci ARCHIVE \(packed) OUT 100000" + (kind == "soci-1" ? " --v1" : "")).blob
      if kind == "soci-plain" { mediaType = "application/vnd.oci.image.layer.v1.tar" }
    case "estargz": (blob, annotations) = try scene.make("estargz ARCHIVE OUT 65536 --landmark=9")
    case "estargz-legacy": (blob, annotations) = try scene.make("estargz ARCHIVE OUT --legacy")
    case "estargz-inner": (blob, annotations) = try scene.make("estargz ARCHIVE OUT 30000 --inner=100000")
    default:
      (blob, annotations) = try scene.make("zstd-chunked ARCHIVE OUT 50000" + (kind == "zstd-chunked" ? "" : " --old"))
      mediaType = ForeignScene.zstd
    }
  }

  var digest: Digest { Digest.of(blob) }
  func built() throws -> LayerIndex { try LayerIndex.build(from: MemoryBytes(blob), mediaType: mediaType, expected: digest) }

  /// - Parameter other: bytes that are read in place of the layer's, of which the manifest says nothing.
  func index(_ other: [UInt8]? = nil, diffID: Digest? = nil) throws -> LayerIndex {
    let bytes = other ?? blob
    if let ztoc { return try ForeignIndex.soci(ztoc: ztoc, blob: digest, size: Int64(bytes.count), diffID: diffID) }
    let found = try ForeignIndex.find(
      blob: digest, size: Int64(bytes.count), mediaType: mediaType, annotations: other == nil ? annotations : [:], diffID: diffID, read: fetch(bytes))
    guard let found else { throw ContainerdError.notFound("an index in the layer") }
    return found.index
  }
}

@Suite struct ForeignIndexTests {
  private let scene: ForeignScene
  init() throws { scene = try ForeignScene() }

  @Test(arguments: Sample.kinds) func everyFileIsReadByWhatOthersMade(kind: String) throws {
    let sample = try Sample(kind, scene)
    let built = try sample.built()
    let index = try sample.index(diffID: built.diffID)
    #expect(index.difference(from: built) == nil)
    #expect(index.spans.count > 8 && index.isSeekable)
    var files = 0
    for entry in index.entries where entry.kind == .file {
      let read = try index.contents(of: entry, fetch: fetch(sample.blob))
      #expect(read == (try Files.read(scene.scene.tree + "/" + entry.text, limit: 1 << 30)), "\(entry.text)")
      files += 1
    }
    #expect(files > 64)
    let note = try #require(index.entry(named: Array("usr/large".utf8)))
    #expect(note.attributes == [LayerIndex.Attribute(name: "user.note", value: Array("remark".utf8))])
    try index.verify(fetch: fetch(sample.blob))
    // It is kept like our own.
    let file = try IndexFile.encode(index)
    #expect(try IndexFile.decode(file) == index)
    #expect(file[8] == (kind == "soci-plain" ? 1 : 2))
  }

  @Test(arguments: Sample.kinds) func noWrongByteOfAFileIsGiven(kind: String) throws {
    let sample = try Sample(kind, scene)
    let index = try sample.index()
    var random = Random(state: 21)
    var refused = 0
    for _ in 0..<12 {
      let span = index.spans[Int(random.next() % UInt64(index.spans.count))]
      let place = Int(span.blobRange.lowerBound) + Int(random.next() % UInt64(span.blobRange.upperBound - span.blobRange.lowerBound))
      var wrong = sample.blob
      wrong[place] ^= UInt8(1 << (random.next() % 8))
      let good = try index.archive(span.archiveRange, fetch: fetch(sample.blob))
      do {
        // A byte behind the chunk, of a header, is nobody's.
        #expect(try index.archive(span.archiveRange, fetch: fetch(wrong)) == good)
      } catch let error as ContainerdError {
        #expect(error.code == .dataLoss)
        refused += 1
      }
      let error = #expect(throws: ContainerdError.self) { try index.verify(fetch: fetch(wrong)) }
      #expect(error?.code == .dataLoss)
    }
    #expect(sample.ztoc == nil ? refused > 0 : refused == 12, "\(refused) were refused")
  }

  @Test(arguments: Sample.kinds) func theArchiveIsComparedWithTheDiffID(kind: String) throws {
    let sample = try Sample(kind, scene)
    let index = try sample.index(diffID: Digest.of([1]))
    let error = #expect(throws: ContainerdError.self) { try index.verify(fetch: fetch(sample.blob)) }
    #expect(error?.code == .dataLoss && error?.message.contains("\(Digest.of([1]))") == true)
  }

  @Test(arguments: Sample.kinds) func whatIsCutOffIsNoIndex(kind: String) throws {
    let sample = try Sample(kind, scene)
    for count in [0, 1, 40, 1000, sample.blob.count / 2, sample.blob.count - 60, sample.blob.count - 1] {
      #expect(throws: (any Error).self, "the first \(count) bytes") { _ = try sample.index(Array(sample.blob.prefix(count))) }
    }
    guard let ztoc = sample.ztoc else { return }
    for count in [0, 1, 4, 7, 100, ztoc.count / 3, ztoc.count / 2, ztoc.count - 40] {
      let error = #expect(throws: ContainerdError.self, "the first \(count) bytes of the ztoc") {
        _ = try ForeignIndex.soci(ztoc: Array(ztoc.prefix(count)), blob: sample.digest, size: Int64(sample.blob.count))
      }
      #expect(error?.code == .invalidArgument)
    }
  }

  @Test(arguments: ["estargz", "zstd-chunked"]) func theManifestVouchesForTheTable(kind: String) throws {
    let sample = try Sample(kind, scene)
    func found(_ annotations: [String: String]) throws -> ForeignIndex.Found? {
      try ForeignIndex.find(
        blob: sample.digest, size: Int64(sample.blob.count), mediaType: sample.mediaType, annotations: annotations, read: fetch(sample.blob))
    }
    let bound = try #require(try found(sample.annotations))
    let believed = try #require(try found([:]))
    #expect(bound.isBound && !believed.isBound && bound.index == believed.index)
    let name = kind == "estargz" ? toc : checksum
    var wrong = sample.annotations
    wrong[name] = "\(Digest.of([1]))"
    #expect(sample.annotations[name] != nil)
    let error = #expect(throws: ContainerdError.self) { _ = try found(wrong) }
    #expect(error?.code == .dataLoss && error?.message.contains("table of contents") == true)
    wrong[name] = "nonsense"
    #expect(throws: ContainerdError.self) { _ = try found(wrong) }
  }

  @Test func ordinaryLayersHaveNone() throws {
    for (pack, type) in [("gzip", ForeignScene.gzip), ("zstd -q", ForeignScene.zstd), ("cat", "application/vnd.oci.image.layer.v1.tar")] {
      let blob = try Files.read(scene.scene.layer("\(pack) <\(scene.archive)"), limit: 1 << 30)
      #expect(try ForeignIndex.find(blob: Digest.of(blob), size: Int64(blob.count), mediaType: type, read: fetch(blob)) == nil)
    }
  }

  @Test func filesInFrontOfTheLandmarkAreFetchedFirst() throws {
    let index = try Sample("estargz", scene).index()
    let before = index.entries.prefix(9).indices.filter { index.entries[$0].size > 0 }
    #expect(!before.isEmpty && index.prefetch == before)
    #expect(!index.entries.contains { $0.text.contains("landmark") })
    #expect(try Sample("estargz-legacy", scene).index().prefetch.isEmpty)
  }

  @Test func anotherLayersZtocDoesNotHold() throws {
    let sample = try Sample("soci", scene)
    let other = try Sample("soci", try ForeignScene(seed: 4))
    let ztoc = try #require(other.ztoc)
    let error = #expect(throws: ContainerdError.self) {
      _ = try ForeignIndex.soci(ztoc: ztoc, blob: sample.digest, size: Int64(sample.blob.count))
    }
    #expect(error?.code == .invalidArgument)
    let index = try ForeignIndex.soci(ztoc: ztoc, blob: sample.digest, size: Int64(other.blob.count))
    let size = other.blob.count
    let wrong = Array((sample.blob + [UInt8](repeating: 0, count: size)).prefix(size))
    #expect(throws: ContainerdError.self) { try index.verify(fetch: fetch(wrong)) }
  }

  @Test func sparseFilesOfAZtocAreRefused() throws {
    let sparse = try ForeignScene(tar: "tar -c --format=pax --sparse usr/holes")
    let packed = try sparse.scene.layer("gzip -n <\(sparse.archive)")
    let ztoc = try sparse.make("soci ARCHIVE \(packed) OUT").blob
    let size = Int64(try Files.read(packed, limit: 1 << 30).count)
    let error = #expect(throws: ContainerdError.self) { _ = try ForeignIndex.soci(ztoc: ztoc, blob: Digest.of([1]), size: size) }
    #expect(error?.code == .notImplemented)
  }
}

/// What ctr-remote, skopeo and flatc made.
@Suite struct ForeignFixtureTests {
  private func found(_ name: String, _ mediaType: String, _ annotations: [String: String]) throws -> (ForeignIndex.Found, [UInt8]) {
    let blob = try ForeignScene.fixture(name)
    let found = try ForeignIndex.find(blob: Digest.of(blob), size: Int64(blob.count), mediaType: mediaType, annotations: annotations, read: fetch(blob))
    return (try #require(found), blob)
  }

  private func expectContents(_ index: LayerIndex, _ blob: [UInt8]) throws {
    func read(_ name: String) throws -> [UInt8] { try index.contents(of: try #require(index.entry(named: Array(name.utf8))), fetch: fetch(blob)) }
    #expect(try read("usr/lib/big") == (1...9000).flatMap { Array("\($0)\n".utf8) })
    #expect(try read("usr/zeros") == [UInt8](repeating: 0, count: 200_000))
    #expect(try read("usr/holes") == [UInt8](repeating: 0, count: 70_000) + Array("end\n".utf8))
    #expect(try read("usr/.wh.gone").isEmpty && (try read("etc/empty")).isEmpty)
    let (one, two) = (try #require(index.entry(named: Array("etc/hello".utf8))), try #require(index.entry(named: Array("etc/hard".utf8))))
    let (file, link) = one.kind == .file ? (one, two) : (two, one)
    #expect(link.kind == .hardlink && index.entry(named: link.link) == file)
    #expect(try index.contents(of: file, fetch: fetch(blob)) == Array("hello\n".utf8))
    #expect(file.owner == 1000 && file.group == 77 && file.attributes == [LayerIndex.Attribute(name: "user.x", value: [UInt8(ascii: "y")])])
    #expect(try #require(index.entry(named: Array("usr/lib/same".utf8))).mode == 0o4755)
    let device = try #require(index.entry(named: Array("usr/null".utf8)))
    #expect(device.kind == .character && device.major == 1 && device.minor == 3)
    #expect(index.entry(named: Array("etc/sym".utf8))?.link == Array("hello".utf8))
    #expect(index.entries.count == 15)
  }

  @Test(arguments: [
    ("estargz", "sha256:f10ba5a92016b99b473d7894760419879ed87469a8af2b4eb4ba57d954be7e84", "02c10ce91864c4590eff8d0be37c217ad01170d67574c5877289dbcbcb15ab4e"),
    (
      "estargz-prefetch", "sha256:157c0c35617a5d764cb07df5f8c670283e1aab68624db7eaa82d6862328cbe16",
      "f5db3b799afbd27fe3811a48608461a7787b748b7db036ae72addce1bad62afe"
    ),
  ]) func eStargzOfCtrRemote(name: String, digest: String, diffID: String) throws {
    let (found, blob) = try found(name, ForeignScene.gzip, [toc: digest])
    #expect(found.isBound && found.form == .eStargz)
    try expectContents(found.index, blob)
    #expect(found.index.prefetch.map { found.index.entries[$0].text } == (name == "estargz" ? [] : ["./usr/lib/big", "./etc/hard"]))
    let built = try LayerIndex.build(from: MemoryBytes(blob), mediaType: ForeignScene.gzip)
    #expect(built.diffID == (try Digest(parsing: "sha256:" + diffID)))
    #expect(found.index.difference(from: built) == nil)
    var index = found.index
    index.diffID = built.diffID
    try index.verify(fetch: fetch(blob))
  }

  @Test(arguments: [
    ("zstdchunked-stargz", "sha256:bbc7b4b6f9de7ca2b0e7900749c02533b43d4e9436f7843ee9ed3c1a24626b87", "20647:889:3420:1"),
    ("zstdchunked-skopeo", "sha256:61d16329afadb1f0e76349e0d9fb5aa3d9cb11b5825b5e257818f761335773a4", "6941:769:3368:1"),
  ]) func zstdChunked(name: String, digest: String, position: String) throws {
    let prefix = "io.containers.zstd-chunked."
    let (bound, blob) = try found(name, ForeignScene.zstd, [prefix + "manifest-checksum": digest, prefix + "manifest-position": position])
    #expect(bound.isBound && bound.form == .zstdChunked)
    let (believed, _) = try found(name, ForeignScene.zstd, [:])
    #expect(!believed.isBound && believed.index == bound.index)
    try expectContents(bound.index, blob)
    let built = try LayerIndex.build(from: MemoryBytes(blob), mediaType: ForeignScene.zstd)
    #expect(bound.index.difference(from: built) == nil)
    try bound.index.verify(fetch: fetch(blob))
  }

  @Test func ztocOfFlatc() throws {
    let blob = try ForeignScene.fixture("layer.tar.gz")
    let index = try ForeignIndex.soci(ztoc: try ForeignScene.fixture("soci-flatc.ztoc"), blob: Digest.of(blob), size: Int64(blob.count))
    try expectContents(index, blob)
    let built = try LayerIndex.build(from: MemoryBytes(blob), mediaType: ForeignScene.gzip)
    #expect(index.difference(from: built) == nil)
    try index.verify(fetch: fetch(blob))
  }
}
