import CLinux
import Protocols
import SystemKit
import TestSupport
import Testing

/// Names that only a pax header has, in all their bytes.
@Suite(.serialized, .enabled(if: Needs.root, "needs root: run the tests as root")) struct PaxNameTests {
  let scene: LayerScene
  init() throws { scene = try LayerScene() }

  private func path(_ name: String) -> [(String, [UInt8])] { [("path", Array(name.utf8))] }
  private func target(_ name: String) -> [(String, [UInt8])] { [("linkpath", Array(name.utf8))] }

  @Test func twoSpellingsOfALetterAreTwoNames() async throws {
    try await scene.apply { tar in
      tar.add("cut", "5", pax: path("d\u{e9}/"))
      tar.add("cut", "0", Array("whole".utf8), pax: path("d\u{e9}/\u{e9}"))
      tar.add("cut", "0", Array("composed".utf8), pax: path("d\u{e9}/e\u{301}"))
      tar.add("cut", "0", [], pax: path("\u{1112}\u{1161}\u{11ab}"))
    }
    #expect(scene.text("d\u{e9}/\u{e9}") == "whole" && scene.text("d\u{e9}/e\u{301}") == "composed")
    #expect(try scene.shell("ls tree | od -An -tx1").output.contains("e1 84 92 e1 85 a1 e1 86 ab"))
    // A deletion finds the one that it names.
    try await scene.apply { $0.add("cut", "0", [], pax: path("d\u{e9}/.wh.e\u{301}")) }
    #expect(scene.text("d\u{e9}/\u{e9}") == "whole" && scene.text("d\u{e9}/e\u{301}") == nil)
  }

  /// As Go's archive/tar writes targets without a letter of ASCII: nothing is left of them in the old header.
  @Test func aTargetMayStandInThePaxHeaderOnly() async throws {
    try await scene.apply { tar in
      tar.add("", "0", Array("text".utf8), pax: path("\u{65e5}\u{672c}"))
      tar.add("link", "2", pax: target("\u{65e5}\u{672c}"))
      tar.add("again", "1", pax: target("\u{65e5}\u{672c}"))
      tar.add("both", "1", link: "cut", pax: path("e\u{301}") + target("again"))
      tar.file("after", "plain")
    }
    #expect(try scene.shell("readlink tree/link").output == "\u{65e5}\u{672c}\n")
    #expect(try scene.status("again").st_nlink == 3 && scene.text("e\u{301}") == "text" && scene.text("after") == "plain")
    #expect(await scene.refusal { $0.add("link", "2") } == .invalidArgument, "no target anywhere")
  }

  @Test(arguments: [("1\n0\n4\n", "text"), ("0\n", "")]) func aSparseFileHasItsOwnName(_ map: String, _ there: String) async throws {
    let data = Array(map.utf8) + [UInt8](repeating: 0, count: 512 - map.utf8.count) + Array(there.utf8)
    try await scene.apply { tar in
      tar.add(
        "GNUSparseFile.0/x", "0", data,
        pax: [
          ("GNU.sparse.major", [0x31]), ("GNU.sparse.minor", [0x30]), ("GNU.sparse.name", Array("e\u{301}".utf8)), ("GNU.sparse.realsize", Array("5000".utf8)),
          ("path", Array("GNUSparseFile.0/x".utf8)),
        ])
      tar.add("cut", "0", Array("SECRET".utf8), pax: path("u\u{308}"))
    }
    #expect(scene.text("e\u{301}") == there + String(repeating: "\0", count: 5000 - there.utf8.count) && scene.text("u\u{308}") == "SECRET")
  }

  /// What follows data of any size is found again, and a header that is none ends the looking, not the reading.
  @Test func dataAreSteppedOver() async throws {
    try await scene.apply { tar in
      for size in [0, 1, 511, 512, 513, 70_000] { tar.add("cut", "0", [UInt8](repeating: 0x61, count: size), pax: path("a\u{308}\(size)")) }
      tar.addGNULong("L", "long")
      tar.file("cut", "gnu")
      tar.add(.init(name: Array("dir".utf8), type: "5", mode: 0o755, size: 0))
      tar.add("dir", "5", pax: path("o\u{308}/"))
    }
    for size in [0, 1, 511, 512, 513, 70_000] { #expect(try scene.status("a\u{308}\(size)").st_size == size) }
    #expect(try scene.text("long") == "gnu" && scene.status("o\u{308}").isDirectory)
  }
}
