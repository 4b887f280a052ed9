import CLinux
import Protocols
import SystemKit
import TestSupport
import Testing

/// What becomes of each kind of entry, usual and odd.
@Suite(.serialized, .enabled(if: Needs.root, "needs root: run the tests as root")) struct EntryTests {
  let scene: LayerScene
  init() throws { scene = try LayerScene() }

  @Test func laterEntriesReplaceEarlierOnesOfAnyType() async throws {
    try await scene.apply { tar in
      tar.directory("d")
      tar.file("d/inside", "1")
      tar.file("d", "now a file")
      tar.file("f", "1")
      tar.directory("f")
      tar.file("f/inside", "2")
      tar.symlink("l", "f")
      tar.directory("l")
      tar.file("twice", "first, and longer")
      tar.file("twice", "second")
      tar.file("t", "1")
      tar.symlink("t", "twice")
    }
    #expect(scene.text("d") == "now a file" && scene.text("f/inside") == "2" && scene.text("twice") == "second")
    #expect(try scene.status("l").isDirectory && Files.names(in: scene.tree + "/l").isEmpty)
    #expect(scene.text("t") == "second" && scene.text("f/inside") == "2")
  }

  @Test func aDirectoryOverADirectoryKeepsWhatIsInIt() async throws {
    try await scene.apply { tar in
      tar.directory("d")
      tar.file("d/kept", "1")
      tar.directory("d", mode: 0o700, mtime: 5)
    }
    let status = try scene.status("d")
    #expect(scene.text("d/kept") == "1" && status.st_mode & 0o7777 == 0o700 && status.st_mtim.tv_sec == 5)
  }

  @Test func missingParentsAreMadeAndTheRootTakesItsEntry() async throws {
    try await scene.apply { tar in
      tar.file("a/b/c/file", "deep")
      tar.directory("./", mode: 0o711, mtime: 77)
    }
    #expect(scene.text("a/b/c/file") == "deep")
    let parent = try scene.status("a/b")
    #expect(parent.st_mode & 0o7777 == 0o755 && parent.st_uid == 0)
    // A directory that no entry names keeps its time, whatever is made in it.
    try await scene.apply { $0.directory("old", mtime: 33) }
    try await scene.apply { $0.file("old/new/file", "deep") }
    #expect(try scene.status("old").st_mtim.tv_sec == 33)
    let root = try Files.status(scene.tree)
    #expect(root.st_mode & 0o7777 == 0o711 && root.st_mtim.tv_sec == 77)
  }

  @Test func namesAreBytes() async throws {
    var tar = TarBuilder()
    let latin = Array("caf".utf8) + [0xe9]
    tar.add(.init(name: latin, data: [1]))
    tar.add(.init(name: latin + Array("-d/".utf8), type: "5", mode: 0o755))
    tar.add(.init(name: latin + Array("-d/x".utf8), data: [2]))
    // The same letter, whole and composed: two names to the kernel.
    tar.file("\u{e9}", "whole")
    tar.file("e\u{301}", "composed")
    tar.file(" \"q'\n\t", "odd")
    try await scene.apply(tar.archive)
    let listing = try scene.shell("cd tree; ls -1 --quoting-style=escape | LC_ALL=C sort; cat caf*-d/x | od -An -tx1")
    #expect(listing.output.contains("caf\\351\ncaf\\351-d") && listing.output.contains("02"), "\(listing.output)")
    #expect(scene.text("\u{e9}") == "whole" && scene.text("e\u{301}") == "composed" && scene.text(" \"q'\n\t") == "odd")
    // And deletions find them: of the two spellings, one goes.
    try await scene.apply { $0.file(".wh.e\u{301}") }
    #expect(scene.text("\u{e9}") == "whole" && scene.text("e\u{301}") == nil)
    var deletion = TarBuilder()
    deletion.add(.init(name: Array(".wh.".utf8) + latin + Array("-d".utf8)))
    try await scene.apply(deletion.archive)
    #expect(try scene.shell("ls tree | grep -c -- -d || true").output == "0\n")
  }

  @Test func longNamesInEachForm() async throws {
    let part = String(repeating: "n", count: 200)
    let long = [part, part, part].joined(separator: "/")
    try await scene.apply { tar in
      tar.file("pax/" + long, "pax")
      tar.symlink("paxlink", long)
      tar.addGNULong("L", "gnu/" + long)
      tar.file("cut", "gnu")
      tar.addGNULong("K", long)
      tar.addGNULong("L", "gnulink")
      tar.symlink("cut", "cut")
      var prefixed = TarBuilder.Entry(name: Array("base".utf8), data: Array("ustar".utf8))
      prefixed.mode = 0o600
      tar.add(prefixed)
    }
    #expect(scene.text("pax/" + long) == "pax" && scene.text("gnu/" + long) == "gnu" && scene.text("base") == "ustar")
    for link in ["paxlink", "gnulink"] { #expect(try scene.shell("readlink tree/\(link)").output == long + "\n") }
  }

  @Test func namesThatNoFileSystemHoldsAreTheArchivesFault() async {
    #expect(await scene.refusal { $0.file(String(repeating: "x", count: 256)) } == .invalidArgument)
    #expect(await scene.refusal { $0.directory(String(repeating: "d/", count: 3000) + "end") } == .invalidArgument)
    #expect(await scene.refusal { $0.symlink("l", String(repeating: "x", count: 5000)) } == .invalidArgument)
    #expect(await scene.refusal { $0.file(".wh." + String(repeating: "x", count: 300)) } == .invalidArgument)
    // The longest name there is can be deleted, although its mark could not be a file.
    let longest = String(repeating: "y", count: 255)
    #expect(await scene.refusal { $0.file(longest) } == nil)
    #expect(await scene.refusal { $0.file(".wh." + longest) } == nil)
    #expect(!scene.exists(longest))
  }

  @Test func timesAndOwnersBeyondTheHeadersFields() async throws {
    try await scene.apply { tar in
      tar.add("past", "0", mtime: -86400)
      tar.add("paxpast", "0", pax: [("mtime", Array("-2.25".utf8))])
      tar.add("future", "0", pax: [("mtime", Array("7258118400.000000001".utf8))])
      tar.add("owned", "0", uid: 3_000_000, gid: 4_000_000_000)
      tar.add("paxowned", "0", pax: [("uid", Array("4294967294".utf8)), ("gid", Array("2097153".utf8))])
    }
    #expect(try scene.status("past").st_mtim.tv_sec == -86400)
    let fraction = try scene.status("paxpast").st_mtim
    #expect(Double(fraction.tv_sec) + Double(fraction.tv_nsec) / 1e9 == -2.25)
    let future = try scene.status("future").st_mtim
    #expect(future.tv_sec == 7_258_118_400 && future.tv_nsec == 1)
    let (owned, paxowned) = (try scene.status("owned"), try scene.status("paxowned"))
    #expect(owned.st_uid == 3_000_000 && owned.st_gid == 4_000_000_000 && paxowned.st_uid == 4_294_967_294 && paxowned.st_gid == 2_097_153)
    // A time that no file system keeps is brought into its range, as the kernel does; an owner that none knows is refused.
    #expect(await scene.refusal { $0.add("huge", "0", pax: [("mtime", Array("99999999999999999".utf8))]) } == nil)
    #expect(await scene.refusal { $0.add("nobody", "0", uid: 4_294_967_295) } == .invalidArgument)
    #expect(await scene.refusal { $0.add("nobody", "0", uid: 1 << 40) } == .invalidArgument)
  }

  @Test func setuidAndCapabilitiesSurviveTheChangeOfOwner() async throws {
    // VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective, as setcap writes it.
    let capability: [UInt8] = [1, 0, 0, 2, 0, 0x20, 0, 0] + [UInt8](repeating: 0, count: 12)
    try await scene.apply { tar in
      tar.add("su", "0", [1], mode: 0o6755, uid: 1234, gid: 1234)
      tar.add(
        "ping", "0", [1], mode: 0o755, uid: 1234, pax: [("SCHILY.xattr.security.capability", capability), ("SCHILY.xattr.user.note", Array("text".utf8))])
      tar.add("dir", "5", mode: 0o2750, gid: 55, pax: [("SCHILY.xattr.user.note", [0, 1, 2, 255])])
    }
    let su = try scene.status("su")
    #expect(su.st_mode & 0o7777 == 0o6755 && su.st_uid == 1234)
    #expect(try attribute("ping", "security.capability") == capability && attribute("ping", "user.note") == Array("text".utf8))
    #expect(try attribute("dir", "user.note") == [0, 1, 2, 255] && scene.status("dir").st_mode & 0o7777 == 0o2750)
    #expect(await scene.refusal { $0.add("bad", "0", pax: [("SCHILY.xattr.security.capability", [1, 2, 3])]) } == .invalidArgument)
  }

  @Test func ofAnAttributeThatComesTwiceTheLastCounts() async throws {
    try await scene.apply { tar in
      let pax = [("SCHILY.xattr.user.note", "one"), ("SCHILY.xattr.user.other", "x"), ("SCHILY.xattr.user.note", "two")]
      tar.add("file", "0", pax: pax.map { ($0, Array($1.utf8)) })
    }
    #expect(try attribute("file", "user.note") == Array("two".utf8) && attribute("file", "user.other") == Array("x".utf8))
  }

  @Test func anOverlaysOwnMarksAreIgnored() async throws {
    try await scene.apply { tar in
      tar.add("d", "5", pax: [("SCHILY.xattr.trusted.overlay.opaque", Array("y".utf8)), ("SCHILY.xattr.user.overlay.opaque", Array("y".utf8))])
      tar.add("f", "0", pax: [("SCHILY.xattr.trusted.overlay.redirect", Array("/etc".utf8)), ("SCHILY.xattr.trusted.mine", Array("1".utf8))])
    }
    #expect(try attribute("d", "trusted.overlay.opaque") == nil && attribute("d", "user.overlay.opaque") == nil)
    #expect(try attribute("f", "trusted.overlay.redirect") == nil && attribute("f", "trusted.mine") == Array("1".utf8))
    #expect(await scene.refusal { $0.add("whiteout", "3", device: (0, 0)) } == .invalidArgument)
  }

  @Test func sparseFilesKeepTheirHoles() async throws {
    let script = "truncate -s 8M s; printf begin | dd of=s conv=notrunc status=none; printf end | dd of=s bs=1 seek=4194304 conv=notrunc status=none; "
    for format in ["gnu", "pax"] {
      let made = try scene.shell(script + "tar --format=\(format) -Scf s.tar s; sha256sum <s")
      try #require(made.status == 0, "\(made.output)")
      try await scene.apply(Files.read(scene.scratch.path + "/s.tar"))
      #expect(try scene.shell("sha256sum <tree/s").output == made.output, "\(format)")
      let status = try scene.status("s")
      #expect(status.st_size == 8 << 20 && status.st_blocks < 1024, "\(format): \(status.st_blocks) blocks")
      try Files.removeTree(scene.tree + "/s")
    }
  }

  @Test func headersThatSpeakOfNoFileAreNoFiles() async throws {
    try await scene.apply { tar in
      tar.addPax([("comment", Array("of the whole archive".utf8))], type: "g")
      tar.file("a", "1")
      tar.addPax([("GNU.unknown", Array("x".utf8)), ("comment", Array("of one".utf8))])
      tar.file("b", "2")
    }
    #expect(try scene.names() == ["a", "b"])
  }

  @Test func hardLinks() async throws {
    try await scene.apply { tar in
      tar.file("one", "1")
      tar.hardlink("two", "/one")
      tar.symlink("soft", "one")
      tar.hardlink("softer", "soft")
      tar.directory("d")
      tar.symlink("alias", "d")
      tar.file("d/x", "x")
      tar.hardlink("y", "alias/x")
      tar.hardlink("alias/x", "d/x")
      tar.file("taken", "old")
      tar.hardlink("taken", "one")
    }
    #expect(try scene.status("one").st_nlink == 3 && scene.text("taken") == "1")
    #expect(try scene.status("softer").st_mode & 0o170000 == 0o120000, "a link to a symbolic link is that link")
    #expect(try scene.status("d/x").st_nlink == 2 && scene.text("y") == "x")
    for (name, target) in [("h", "later"), ("h", "d"), ("h", "/"), ("h", "none/at/all"), ("d/x/h", "one")] {
      #expect(await scene.refusal { $0.hardlink(name, target) } == .invalidArgument, "\(name) to \(target)")
    }
  }

  @Test func aHardLinkToALowerLayersFileIsThatFile() async throws {
    try scene.write("from below", "lower/below")
    try await scene.apply(to: scene.overlay) { $0.hardlink("again", "below") }
    try scene.inOverlay { merged throws in
      #expect(try Files.read(merged + "/again") == Array("from below".utf8))
      #expect(try Files.status(merged + "/again").st_ino == Files.status(merged + "/below").st_ino)
    }
  }

  private func attribute(_ path: String, _ name: String) throws -> [UInt8]? {
    var value = [UInt8](repeating: 0, count: 256)
    let count = lgetxattr("\(scene.tree)/\(path)", name, &value, value.count)
    if count < 0 && clinux_errno() == ENODATA { return nil }
    if count < 0 { throw SystemError.last("lgetxattr \(name)", path) }
    return Array(value[..<count])
  }
}

extension stat {
  var isDirectory: Bool { st_mode & 0o170000 == 0o040000 }
}
