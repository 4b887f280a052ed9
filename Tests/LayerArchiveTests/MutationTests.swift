import Foundation
import Hashing
import LayerArchive
import Protocols
import SystemKit
import TestSupport
import Testing

/// Archives with random damage: each is applied or refused with one of the contract's classes, and nothing outside the tree changes.
///
/// `MUTATIONS` sets the number of archives, `SEED` the first one; a failure names the seed that repeats it.
@Suite(.serialized, .enabled(if: Needs.root, "needs root: run the tests as root")) struct MutationTests {
  let scene: LayerScene
  init() throws { scene = try LayerScene() }

  @Test func damagedArchivesAreAppliedOrRefusedAndNothingEscapes() async throws {
    let environment = ProcessInfo.processInfo.environment
    let count = environment["MUTATIONS"].flatMap(Int.init) ?? 400
    let first = environment["SEED"].flatMap(UInt64.init) ?? 1
    try scene.write("secret", "outside/kept")
    let beside = try Files.names(in: scene.scratch.path).sorted()
    var applied = 0
    for seed in first..<(first + UInt64(count)) {
      var random = SplitMix(seed: seed)
      let bytes = Self.damaged(Self.archive(outside: scene.scratch.path + "/outside", &random), &random)
      let kind = Int.random(in: 0..<8, using: &random)
      do {
        if kind == 0 {
          // As if it were compressed: random bytes behind a right beginning.
          try await scene.apply([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3] + bytes, type: StreamTests.gzip)
        } else {
          try await scene.apply(bytes, to: kind == 1 ? scene.overlay : scene.bind)
        }
        applied += 1
      } catch let error as ContainerdError {
        #expect([.invalidArgument, .resourceExhausted, .permissionDenied].contains(error.code), "seed \(seed): \(error)")
      } catch { Issue.record("seed \(seed): \(error)") }
      try #require(
        Files.names(in: scene.scratch.path + "/outside") == ["kept"] && Files.read(scene.scratch.path + "/outside/kept") == Array("secret".utf8)
          && Files.names(in: scene.scratch.path).sorted() == beside && !Files.exists("/escaped"), "seed \(seed): something outside the tree has changed")
      if seed % 50 == 0 { try #require(scene.shell("rm -rf tree/* tree/.[!.]* upper/* upper/.[!.]*").status == 0) }
    }
    #expect(applied > 0 && applied < count, "the damage is neither harmless nor total: \(applied) of \(count)")
    try #require(scene.shell("rm -rf tree/* tree/.[!.]* tree/..?* upper/* upper/.[!.]* upper/..?*").status == 0)
  }

  /// A few entries of every kind, some of them attacks.
  static func archive(outside: String, _ random: inout SplitMix) -> [UInt8] {
    var tar = TarBuilder()
    let names = ["a", "a/b", "a/b/c", "d", "d/e", "link", "link/x", "link/escaped", ".wh.a", "a/.wh.b", "d/.wh..wh..opq", "d/.wh.e", "../escaped", "/escaped"]
    let targets = ["a", "d", "/", "..", "../..", outside, outside + "/kept", "link", "a/b", "/proc/self/root"]
    for _ in 0..<Int.random(in: 1...12, using: &random) {
      let name = names.randomElement(using: &random) ?? "a"
      let target = targets.randomElement(using: &random) ?? "a"
      switch Int.random(in: 0..<9, using: &random) {
      case 0, 1: tar.directory(name)
      case 2: tar.symlink(name, target)
      case 3: tar.hardlink(name, target)
      case 4: tar.add(name, "3", device: (1, 3))
      case 5: tar.add(name, "6")
      case 6: tar.add(name, "0", Array("text".utf8), pax: [("SCHILY.xattr.user.x", Array("value".utf8)), ("mtime", Array("12.5".utf8))])
      default: tar.file(name, String(repeating: "text", count: Int.random(in: 0..<300, using: &random)))
      }
    }
    return tar.archive
  }

  /// Changed bytes, most of them under a right checksum, cut or doubled blocks.
  static func damaged(_ archive: [UInt8], _ random: inout SplitMix) -> [UInt8] {
    var bytes = archive
    for _ in 0..<Int.random(in: 0...4, using: &random) {
      let block = Int.random(in: 0..<(bytes.count / 512), using: &random) * 512
      switch Int.random(in: 0..<6, using: &random) {
      case 0: bytes.removeSubrange(block..<(block + 512))
      case 1: bytes.insert(contentsOf: bytes[block..<(block + 512)], at: Int.random(in: 0...(bytes.count / 512), using: &random) * 512)
      case 2: bytes.removeLast(Int.random(in: 1..<512, using: &random)); bytes += [UInt8](repeating: 0, count: 512)
      default:
        let field =
          [0..<100, 100..<108, 108..<124, 124..<136, 136..<148, 156..<157, 157..<257, 257..<265, 329..<345, 345..<500].randomElement(using: &random) ?? 0..<100
        let value = [UInt8(0), 0x80, 0xff, 47, 46, UInt8.random(in: 0...255, using: &random), 55].randomElement(using: &random) ?? 0
        bytes[block + Int.random(in: field, using: &random)] = value
        if Bool.random(using: &random) || field.lowerBound < 157 {
          var header = Array(bytes[block..<(block + 512)])
          TarBuilder.seal(&header)
          bytes.replaceSubrange(block..<(block + 512), with: header)
        }
      }
    }
    return bytes
  }
}
