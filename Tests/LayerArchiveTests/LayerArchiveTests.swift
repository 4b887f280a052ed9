import CLinux
import Foundation
import Hashing
import LayerArchive
import LocalContentStore
import Protocols
import SystemKit
import TestSupport
import Testing

/// Layers made by Python's tarfile, applied through a bind mount or an overlay.
@Suite(.serialized, .enabled(if: Needs.root, "needs root: run the tests as root")) struct LayerArchiveTests {
  let scratch = ScratchDirectory("layers")
  let content: LocalContentStore
  let applier: ArchiveApplier
  let differ: ArchiveDiffer

  init() throws {
    content = try LocalContentStore(root: scratch.path + "/content")
    for name in ["mnt", "lower", "upper", "work", "tree", "outside"] { try Files.makeDirectories("\(scratch.path)/\(name)") }
    applier = ArchiveApplier(mountPoint: scratch.path + "/mnt")
    differ = ArchiveDiffer(mountPoint: scratch.path + "/mnt")
  }

  /// A tar made by a Python body that may use `add(name, type, data, link, **fields)`.
  func tar(_ body: String) throws -> [UInt8] {
    let script = """
      import io, tarfile
      t = tarfile.open('\(scratch.path)/layer.tar', 'w', format=tarfile.PAX_FORMAT)
      def add(name, type=tarfile.REGTYPE, data=b'', link='', **fields):
          i = tarfile.TarInfo(name); i.type = type; i.size = len(data); i.linkname = link; i.mtime = 1000000000
          for k, v in fields.items(): setattr(i, k, v)
          t.addfile(i, io.BytesIO(data))
      D, L, H = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
      \(body)
      t.close()
      """
    let (status, output) = try run(["python3", "-c", script])
    try #require(status == 0, "\(output)")
    return try Files.read(scratch.path + "/layer.tar")
  }

  func put(_ bytes: [UInt8]) async throws -> Digest {
    let digest = Digest.of(bytes)
    do {
      let writer = try await content.writer(ref: "\(digest)", expected: IngestExpectation(digest: digest))
      try await writer.write(bytes, at: nil)
      _ = try await writer.commit(IngestExpectation(), labels: [:])
    } catch let error as ContainerdError where error.code == .alreadyExists {}
    return digest
  }

  var bind: [Mount] { [Mount(type: "bind", source: scratch.path + "/tree", options: ["rw", "rbind"])] }
  var overlay: [Mount] {
    [Mount(type: "overlay", source: "overlay", options: ["lowerdir=\(scratch.path)/lower", "upperdir=\(scratch.path)/upper", "workdir=\(scratch.path)/work"])]
  }

  func apply(_ bytes: [UInt8], type: String = "application/vnd.oci.image.layer.v1.tar", to mounts: [Mount]? = nil, diffID: Digest? = nil) async throws
    -> Descriptor
  {
    let layer = Descriptor(mediaType: type, digest: try await put(bytes), size: Int64(bytes.count))
    return try await applier.apply(layer, from: content, to: mounts ?? bind, options: ApplyOptions(diffID: diffID, sync: false))
  }

  func code(_ body: () async throws -> Void) async -> ContainerdError.Code? {
    do { try await body() } catch { return (error as? ContainerdError)?.code }
    return nil
  }

  func text(_ path: String) -> String? { (try? Files.read("\(scratch.path)/\(path)")).map { String(decoding: $0, as: UTF8.self) } }

  @Test func everyKindOfEntryWithItsMetadata() async throws {
    let applied = try await apply(
      tar(
        """
        add('dir', D, mode=0o750, uid=10, gid=20)
        add('dir/file', data=b'hello', mode=0o4755, uid=70000, gid=70001, pax_headers={'mtime': '1234567890.123456789'})
        add('dir/same', H, link='dir/file')
        add('link', L, link='dir/file', uid=5)
        add('null', tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
        add('pipe', tarfile.FIFOTYPE, mode=0o600)
        add('names/' + 'x' * 200, data=b'long')
        add('names/ünï', data=b'utf8')
        """))
    #expect(try applied.digest == Digest.of(Files.read(scratch.path + "/layer.tar")))
    let tree = scratch.path + "/tree"
    let file = try Files.status(tree + "/dir/file")
    #expect(file.st_mode & 0o7777 == 0o4755 && file.st_uid == 70000 && file.st_gid == 70001 && file.st_nlink == 2)
    #expect(file.st_mtim.tv_sec == 1_234_567_890 && file.st_mtim.tv_nsec == 123_456_789)
    let dir = try Files.status(tree + "/dir")
    #expect(dir.st_mode & 0o7777 == 0o750 && dir.st_uid == 10 && dir.st_mtim.tv_sec == 1_000_000_000)
    #expect(try Files.status(tree + "/link").st_uid == 5)
    #expect(try Files.status(tree + "/null").st_rdev == clinux_makedev(1, 3))
    #expect(text("tree/names/" + String(repeating: "x", count: 200)) == "long" && text("tree/names/ünï") == "utf8")
  }

  @Test func compressionsAreSeenThroughAndChecked() async throws {
    let plain = try tar("add('a', data=b'1' * 3000000)")
    for (tool, type) in [("gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"), ("zstd", "application/vnd.oci.image.layer.v1.tar+zstd")] {
      try #require(try run([tool, "-kf", scratch.path + "/layer.tar"]).status == 0)
      let packed = try Files.read(scratch.path + "/layer.tar" + (tool == "gzip" ? ".gz" : ".zst"))
      #expect(try await apply(packed, type: type).digest == Digest.of(plain))
      #expect(await code { _ = try await apply(Array(packed.dropLast(20)), type: type) } == .invalidArgument)
    }
    #expect(await code { _ = try await apply(plain, type: "text/plain") } == .notImplemented)
    #expect(await code { _ = try await apply(plain, diffID: Digest.of([1])) } == .failedPrecondition)
    #expect(await code { _ = try await apply(Array("this is no archive, but long enough to be taken for one".utf8)) } == .invalidArgument)
  }

  @Test(arguments: [
    "add('e', L, link='OUT'); add('e/x', data=b'bad')", "add('../../x', data=b'bad')", "add('e', L, link='../../../../../OUT'); add('e/x', data=b'bad')",
    "add('e', L, link='OUT/x'); add('h', H, link='e'); add('h', data=b'bad')", "add('e', L, link='OUT'); add('e/.wh.kept')",
  ]) func nothingOutsideTheTreeIsTouched(_ body: String) async throws {
    try Files.writeAtomically([1], to: scratch.path + "/outside/kept")
    _ = await code { _ = try await apply(tar(body.replacingOccurrences(of: "OUT", with: scratch.path + "/outside"))) }
    #expect(try Files.names(in: scratch.path + "/outside") == ["kept"])
    #expect(try Files.read(scratch.path + "/outside/kept") == [1])
  }

  /// The same layer over the same lower tree, whiteouts first or last, through an overlay.
  @Test(arguments: [true, false]) func whiteoutsHideTheLowerLayersOnly(_ first: Bool) async throws {
    for (name, body) in [("gone", "1"), ("kept", "1"), ("replaced", "old")] { try Files.writeAtomically(Array(body.utf8), to: "\(scratch.path)/lower/\(name)") }
    try Files.makeDirectories(scratch.path + "/lower/opaque/deep")
    try Files.writeAtomically([1], to: scratch.path + "/lower/opaque/deep/old")
    let marks = "add('.wh.gone'); add('.wh.replaced'); add('opaque/.wh..wh..opq'); "
    let entries = "add('replaced', data=b'new'); add('opaque', D); add('opaque/deep', D); add('opaque/deep/new', data=b'n'); "
    _ = try await apply(tar(first ? marks + entries : entries + marks), to: overlay)
    var upper = stat()
    try #require(lstat(scratch.path + "/upper/gone", &upper) == 0)
    #expect(upper.st_mode & 0o170000 == 0o020000 && upper.st_rdev == 0, "a deletion is a whiteout for overlayfs")
    try Mounts.mount(type: "overlay", source: "overlay", target: scratch.path + "/tree", options: overlay[0].options)
    defer { umount2(scratch.path + "/tree", Int32(MNT_DETACH)) }
    #expect(text("tree/gone") == nil && text("tree/kept") == "1" && text("tree/replaced") == "new")
    #expect(try Files.names(in: scratch.path + "/tree/opaque/deep") == ["new"])
  }

  /// As some writers leave it: no zeros behind the last file's data.
  @Test func anArchiveMayEndWithItsLastFile() async throws {
    let whole = try tar("add('first', data=b'1'); add('last', data=b'7' * 700)")
    let end = try #require(whole.lastIndex(of: UInt8(ascii: "7"))) + 1
    _ = try await apply(Array(whole[..<end]))
    #expect(text("tree/last")?.count == 700)
    #expect(await code { _ = try await apply(Array(whole[..<(end - 1)])) } == .invalidArgument)
  }

  @Test func theMountsAreNobodyElses() async throws {
    _ = try await apply(tar("add('a', data=b'1')"), to: overlay)
    // Other tests mount at the same time: only what names our own directory is ours.
    let mounts = String(decoding: try Files.read("/proc/self/mounts"), as: UTF8.self)
    #expect(!mounts.contains(scratch.path))
    #expect(try Files.names(in: scratch.path + "/mnt").isEmpty)
  }

  @Test func aDiffAppliedToTheLowerTreeGivesTheUpperOne() async throws {
    let p = scratch.path
    try #require(
      try run([
        "sh", "-c",
        "cd \(p)/lower && mkdir d e && echo 1 >d/same && echo 2 >d/gone && echo 3 >e/changed && ln d/same d/linked && setfattr -n user.x -v 1 d/same || true",
      ])
      .status == 0)
    try #require(
      try run([
        "sh", "-c",
        "cp -a \(p)/lower/. \(p)/upper/ && cd \(p)/upper && rm d/gone && sleep 0.01 && echo 33 >e/changed && mkdir -p new/deep && echo 4 >new/deep/er && ln -s er new/deep/link && ln new/deep/er new/again",
      ])
      .status == 0)
    let lower = [Mount(type: "bind", source: p + "/lower", options: ["ro", "rbind"])]
    let upper = [Mount(type: "bind", source: p + "/upper", options: ["ro", "rbind"])]
    let first = try await differ.diff(from: lower, to: upper, into: content, options: DiffOptions(ref: "one"))
    let second = try await differ.diff(from: lower, to: upper, into: content, options: DiffOptions(ref: "two"))
    #expect(first == second, "the same trees make the same bytes")
    let diffID = try await content.info(first.digest).labels["containerd.io/uncompressed"]
    try #require(try run(["cp", "-a", p + "/lower/.", p + "/tree/"]).status == 0)
    let applied = try await applier.apply(first, from: content, to: bind, options: ApplyOptions(sync: false))
    #expect(applied.digest.description == diffID)
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    let (status, output) = try run(["python3", root + "/scripts/compare-trees.py", p + "/tree/new", p + "/upper/new"])
    #expect(status == 0, "\(output)")
    #expect(text("tree/e/changed") == "33\n" && text("tree/d/gone") == nil && text("tree/d/same") == "1\n")
  }
}
