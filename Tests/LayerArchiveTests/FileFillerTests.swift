import CLinux
import SystemKit
import TestSupport
import Testing

@testable import LayerArchive

/// Pieces that come in any sizes, with holes between them, make the same file as one write of each.
struct FileFillerTests {
  @Test(arguments: 0..<20) func anyPieces(seed: UInt64) throws {
    let scratch = ScratchDirectory()
    let path = scratch.path + "/file"
    let file = try Files.open(path, O_RDWR | O_CREAT, mode: 0o600)
    var random = SplitMix(seed: seed)
    var filler = FileFiller(file.raw, path: path)
    var expected: [UInt8] = []
    let most = [600, 70_000, 3_000_000][Int(seed % 3)]
    for _ in 0..<12 {
      // Now and then a hole.
      if Int.random(in: 0..<4, using: &random) == 0 { expected += [UInt8](repeating: 0, count: Int.random(in: 1...most, using: &random)) }
      let bytes = (0..<Int.random(in: 1...most, using: &random)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ expected.count) }
      try bytes.withUnsafeBytes { try filler.write($0, at: Int64(expected.count)) }
      expected += bytes
    }
    try filler.finish()
    #expect(filler.end == Int64(expected.count))
    #expect(try Files.read(path, limit: 64 << 20) == expected)
  }

  @Test(.enabled(if: Needs.root, "needs root: it mounts a small file system")) func aDiskThatBecomesFullTakesAPart() throws {
    let scratch = ScratchDirectory()
    #expect(try run(["/bin/mount", "-t", "tmpfs", "-o", "size=1536k", "none", scratch.path]).status == 0)
    defer { umount2(scratch.path, Int32(MNT_DETACH)) }
    let path = scratch.path + "/file"
    let file = try Files.open(path, O_RDWR | O_CREAT, mode: 0o600)
    let bytes = (0..<2_500_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 12) }
    var filler = FileFiller(file.raw, path: path)
    var failure: Int32?
    do {
      // What comes second is refused in the middle of one call of two parts.
      try bytes[..<1_300_000].withUnsafeBytes { try filler.write($0, at: 0) }
      try bytes[1_300_000...].withUnsafeBytes { try filler.write($0, at: 1_300_000) }
      try filler.finish()
    } catch let error as SystemError { failure = error.errno }
    #expect(failure == ENOSPC)
    #expect(try Files.read(path) == Array(bytes[..<(1536 << 10)]))
  }
}
