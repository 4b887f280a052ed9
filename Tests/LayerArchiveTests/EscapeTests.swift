import CLinux
import Protocols
import SystemKit
import TestSupport
import Testing

/// Nothing outside the tree is read or written, whatever links the archive or the tree below it holds.
@Suite(.serialized, .enabled(if: Needs.root, "needs root: run the tests as root")) struct EscapeTests {
  let scene: LayerScene
  let outside: String
  init() throws {
    scene = try LayerScene()
    outside = scene.scratch.path + "/outside"
    try scene.write("secret", "outside/kept")
  }

  /// The directory beside the tree as it was at the beginning.
  func untouched() throws -> Bool {
    let status = try Files.status(outside + "/kept")
    return try Files.names(in: outside) == ["kept"] && Files.read(outside + "/kept") == Array("secret".utf8) && status.st_nlink == 1
      && status.st_mode & 0o7777 == 0o600
  }

  static let attacks: [(String, @Sendable (inout TarBuilder, String) -> Void)] = [
    ("dots", { tar, _ in tar.file("../../x", "bad") }),
    ("dots within", { tar, _ in tar.file("a/../../outside/kept", "bad") }),
    ("dots as a hard link's target", { tar, _ in tar.hardlink("h", "../outside/kept") }),
    ("absolute name", { tar, out in tar.file(out + "/kept", "bad") }),
    (
      "link to a directory outside, then a file in it",
      { tar, out in
        tar.symlink("e", out); tar.file("e/x", "bad"); tar.file("e/kept", "bad")
      }
    ),
    (
      "relative link",
      { tar, _ in
        tar.symlink("e", "../outside"); tar.file("e/kept", "bad")
      }
    ),
    (
      "far relative link",
      { tar, out in
        tar.symlink("e", "../../../../../../.." + out); tar.file("e/kept", "bad")
      }
    ),
    (
      "link to a file outside, written through",
      { tar, out in
        tar.symlink("e", out + "/kept"); tar.file("e", "bad")
      }
    ),
    (
      "hard link to a link outside, written through",
      { tar, out in
        tar.symlink("e", out + "/kept"); tar.hardlink("h", "e"); tar.file("h", "bad")
      }
    ),
    (
      "hard link through a link outside",
      { tar, out in
        tar.symlink("e", out); tar.hardlink("h", "e/kept"); tar.add("h", "0", [1], mode: 0o777)
      }
    ),
    (
      "whiteout through a link",
      { tar, out in
        tar.symlink("e", out); tar.file("e/.wh.kept")
      }
    ),
    (
      "opaque through a link",
      { tar, out in
        tar.symlink("e", out); tar.file("e/.wh..wh..opq")
      }
    ),
    (
      "directory over a link keeps the link's target",
      { tar, out in
        tar.symlink("e", out); tar.directory("e", mode: 0o777); tar.file("e/x", "bad")
      }
    ),
    (
      "mode of a link",
      { tar, out in
        tar.symlink("e", out + "/kept"); tar.add("e", "2", link: out + "/kept", mode: 0o777, uid: 99)
      }
    ),
    (
      "chain of links",
      { tar, out in
        tar.symlink("a", "b"); tar.symlink("b", "c"); tar.symlink("c", out); tar.file("a/kept", "bad")
      }
    ),
    (
      "link in the middle",
      { tar, _ in
        tar.directory("d"); tar.symlink("d/up", ".."); tar.symlink("d/up2", "up/../outside"); tar.file("d/up2/kept", "bad")
      }
    ),
    (
      "magic link",
      { tar, _ in
        tar.symlink("e", "/proc/self/root"); tar.file("e/x", "bad"); tar.symlink("c", "/proc/self/cwd"); tar.file("c/x", "bad")
      }
    ),
    (
      "link replaced by a directory and back",
      { tar, out in
        tar.directory("d"); tar.file("d/a", "1"); tar.symlink("d", out); tar.file("d/kept", "bad"); tar.file("d/.wh.kept")
      }
    ),
    ("whiteout of dots", { tar, _ in tar.file(".wh...");  }),
    ("whiteout with a slash in it", { tar, _ in tar.file(".wh.../outside/kept") }),
    (
      "fifo and device over a link",
      { tar, out in
        tar.symlink("e", out + "/kept"); tar.add("e", "6"); tar.symlink("f", out + "/kept"); tar.add("f", "3", device: (1, 3))
      }
    ),
  ]

  @Test(arguments: attacks.indices) func withinOneArchive(_ number: Int) async throws {
    let (name, attack) = Self.attacks[number]
    _ = await scene.refusal { attack(&$0, outside) }
    #expect(try untouched(), "\(name)")
    _ = await scene.refusal(to: scene.overlay) { attack(&$0, outside) }
    #expect(try untouched(), "\(name), through an overlay")
    #expect(!Files.exists("/x"), "\(name)")
  }

  @Test func linksThatLowerLayersHold() async throws {
    for (name, target) in [("abs", outside), ("rel", "../outside"), ("root", "/"), ("loop", "loop")] {
      try #require(symlink(target, "\(scene.scratch.path)/lower/\(name)") == 0)
    }
    let result = await scene.refusal(to: scene.overlay) { tar in
      tar.file("abs/kept", "bad")
      tar.file("rel/kept", "bad")
      tar.file("rel/.wh.kept")
      tar.file("root/inside", "good")
    }
    #expect(try result == nil && untouched())
    try scene.inOverlay { merged throws in #expect(try Files.read(merged + "/inside") == Array("good".utf8), "an absolute link starts at the tree's root") }
    #expect(await scene.refusal(to: scene.overlay) { $0.file("loop/x", "bad") } == .invalidArgument)
  }

  @Test func timesOfADirectoryThatBecameALinkAreNotSetThroughIt() async throws {
    try await scene.apply { tar in
      tar.directory("real", mtime: 1000)
      tar.directory("d", mtime: 5)
      tar.symlink("d", "real")
    }
    #expect(try scene.status("real").st_mtim.tv_sec == 1000)
  }

  @Test func readOnlyMountsAreRefused() async throws {
    let readOnly = [Mount(type: "bind", source: scene.tree, options: ["ro", "rbind"])]
    let view = [Mount(type: "overlay", source: "overlay", options: ["lowerdir=\(scene.scratch.path)/lower:\(scene.tree)"])]
    for mounts in [readOnly, view] { #expect(await scene.refusal(to: mounts) { $0.file("x", "1") } == .invalidArgument) }
    #expect(try scene.names().isEmpty)
  }

  @Test func nothingStaysMounted() async throws {
    let mark = scene.scratch.path
    try await scene.apply(to: scene.overlay) { $0.file("x", "1") }
    _ = await scene.refusal(to: scene.overlay) { $0.file("../x", "1") }
    let mounts = String(decoding: try Files.read("/proc/self/mounts"), as: UTF8.self)
    #expect(!mounts.contains(mark))
  }
}
