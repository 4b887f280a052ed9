import CLinux
import Protocols
import SystemKit
import TestSupport
import Testing

/// Deletions: they concern lower layers only, in whatever order they come, and under whatever name.
@Suite(.serialized, .enabled(if: Needs.root, "needs root: run the tests as root")) struct WhiteoutTests {
  let scene: LayerScene
  init() throws {
    scene = try LayerScene()
    try Files.makeDirectories(scene.scratch.path + "/lower/dir/sub")
    for name in ["gone", "kept", "dir/old", "dir/sub/old", ".wh"] { try scene.write("lower", "lower/" + name) }
    try #require(symlink("dir", scene.scratch.path + "/lower/alias") == 0)
  }

  /// Applies over the lower tree and lists what is seen, sorted.
  func seen(_ build: (inout TarBuilder) -> Void) async throws -> [String] {
    try await scene.apply(to: scene.overlay, build)
    return try scene.inOverlay { merged throws in
      try run(["sh", "-c", "cd '\(merged)'; find . -mindepth 1 | LC_ALL=C sort"]).output.split(separator: "\n").map { String($0.dropFirst(2)) }
    }
  }

  @Test func aNameThatIsBroughtIsNotDeletedBeforeOrAfter() async throws {
    let before = try await seen { tar in
      tar.file(".wh.gone")
      tar.file("gone", "new")
      tar.directory("dir")
      tar.file(".wh.dir")
      tar.file("dir/new", "1")
      tar.file("dir/.wh.new")
    }
    #expect(before == [".wh", "alias", "dir", "dir/new", "gone", "kept"])
  }

  @Test func opaqueHidesSiblingsThatWereThereAndNoneThatAreBrought() async throws {
    let names = try await seen { tar in
      tar.directory("dir")
      tar.file("dir/first", "1")
      tar.file("dir/.wh..wh..opq")
      tar.file("dir/second", "2")
      tar.file("dir/sub/third", "3")
    }
    #expect(names == [".wh", "alias", "dir", "dir/first", "dir/second", "dir/sub", "dir/sub/third", "gone", "kept"])
  }

  @Test func opaqueAndDeletionThroughALinkToADirectory() async throws {
    let names = try await seen { tar in
      tar.file("dir/new", "1")
      tar.file("alias/.wh..wh..opq")
      tar.file("alias/.wh.new")
    }
    #expect(names == [".wh", "alias", "dir", "dir/new", "gone", "kept"], "what the archive brought under one name is its own under the other")
  }

  @Test func opaqueOfTheRoot() async throws {
    let names = try await seen { tar in
      tar.file("new", "1")
      tar.file(".wh..wh..opq")
    }
    #expect(names == ["new"])
  }

  @Test func deletionsOfWhatIsNotThereAreFine() async throws {
    let names = try await seen { tar in
      tar.file(".wh.never")
      tar.file("no/such/.wh.dir")
      tar.file("no/such/.wh..wh..opq")
      tar.file("kept/.wh.x")
    }
    #expect(names == [".wh", "alias", "dir", "dir/old", "dir/sub", "dir/sub/old", "gone", "kept"])
  }

  @Test func bookkeepingOfAufsIsNoPartOfALayer() async throws {
    let names = try await seen { tar in
      tar.directory(".wh..wh.plnk")
      tar.file(".wh..wh.plnk/12.34", "x")
      tar.file("dir/.wh..wh.aufs")
      tar.file(".wh..wh.gone")
    }
    #expect(names == [".wh", "alias", "dir", "dir/old", "dir/sub", "dir/sub/old", "gone", "kept"])
  }

  @Test(arguments: [".wh.", ".wh..", ".wh...", "dir/.wh.", "dir/.wh..", "dir/.wh..."]) func marksThatNameNothingAreRefused(_ name: String) async throws {
    #expect(await scene.refusal(to: scene.overlay) { $0.file(name) } == .invalidArgument)
    try scene.inOverlay { merged throws in #expect(Files.exists(merged + "/dir/old")) }
  }

  @Test func aDeletionLooksLikeOneWhateverItsType() async throws {
    let names = try await seen { tar in
      tar.directory(".wh.dir")
      tar.symlink(".wh.gone", "kept")
      tar.hardlink(".wh.kept", "nowhere")
    }
    #expect(names == [".wh", "alias"])
  }

  @Test func aDirectoryThatIsNotMentionedKeepsItsTimes() async throws {
    try #require(scene.shell("touch -d '2001-02-03 04:05:06.789' lower/dir lower/dir/sub lower upper").status == 0)
    _ = try await seen { tar in
      tar.file("dir/sub/.wh.old")
      tar.file("dir/added", "1")
      tar.file(".wh.gone")
    }
    try scene.inOverlay { merged throws in
      for path in [merged, merged + "/dir", merged + "/dir/sub"] {
        let time = try Files.status(path).st_mtim
        #expect(time.tv_sec == 981_173_106 && time.tv_nsec == 789_000_000, "\(path)")
      }
    }
  }
}
