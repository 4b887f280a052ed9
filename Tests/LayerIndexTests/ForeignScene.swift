import Hashing
import LayerIndex
import Protocols
import SystemKit
import TestSupport

/// Layers and indexes as others make them: by the script beside the fixtures, or fixtures that other programs made.
struct ForeignScene {
  static let gzip = "application/vnd.oci.image.layer.v1.tar+gzip"
  static let zstd = "application/vnd.oci.image.layer.v1.tar+zstd"
  /// Names in JSON are UTF-8, and a ztoc does not know holes.
  static let tar = "tar -c --format=pax --sort=name --xattrs --exclude='latin-*' ."

  static let fixtures: String = {
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(2)
    return parts.joined(separator: "/") + "/Fixtures/foreign-index"
  }()
  static func fixture(_ name: String) throws -> [UInt8] { try Files.read(fixtures + "/" + name, limit: 1 << 30) }

  let scene: LayerScene
  let archive: String

  init(seed: UInt64 = 1, tar: String = tar) throws {
    scene = try LayerScene(seed: seed)
    try scene.run("setfattr -n user.note -v remark usr/large")
    archive = try scene.layer(tar)
  }

  /// - Parameter options: `OUT` stands for the file that is made.
  func make(_ options: String) throws -> (blob: [UInt8], facts: [String: String]) {
    let file = "\(scene.scratch.path)/made-\(UInt32.random(in: 0 ... .max))"
    let words = options.split(separator: " ").map { $0 == "OUT" ? file : $0 == "ARCHIVE" ? archive : String($0) }
    let (status, output) = try run(["/usr/bin/python3", Self.fixtures + "/make.py"] + words)
    if status != 0 { throw ContainerdError(.unknown, "make.py \(options) ended with \(status): \(output)") }
    var facts: [String: String] = [:]
    for line in output.split(separator: "\n") {
      let parts = line.split(separator: " ")
      if parts.count == 2 { facts[String(parts[0])] = String(parts[1]) }
    }
    return (try Files.read(file, limit: 1 << 30), facts)
  }
}

/// The bytes of the blob in memory, with the error that a file would give.
func fetch(_ blob: [UInt8]) -> LayerIndex.Fetch {
  { range in
    guard range.lowerBound >= 0, range.upperBound <= blob.count else { throw ContainerdError(.dataLoss, "\(range) of \(blob.count) bytes") }
    return Array(blob[Int(range.lowerBound)..<Int(range.upperBound)])
  }
}

/// Frames of zstd by hand (RFC 8878): blocks as they are, so that any bytes can be in it.
enum HandMade {
  static func little(_ value: Int, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

  static func frame(_ bytes: [UInt8]) -> [UInt8] {
    // One segment, length in four bytes, no checksum.
    var frame = little(0xFD2F_B528, 4) + [0b1010_0000] + little(bytes.count, 4)
    var rest = bytes[...]
    repeat {
      let part = rest.prefix(128 << 10)
      rest = rest.dropFirst(part.count)
      frame += little(part.count << 3 | (rest.isEmpty ? 1 : 0), 3) + part
    } while !rest.isEmpty
    return frame
  }

  static func skippable(_ bytes: [UInt8]) -> [UInt8] { little(0x184D_2A50, 4) + little(bytes.count, 4) + bytes }

  /// Contents, then the table and the footer of zstd:chunked.
  static func chunked(contents: [UInt8], table: [UInt8]) -> [UInt8] {
    let packed = frame(table)
    let footer = [contents.count + 8, packed.count, table.count, 1, 0, 0, 0].flatMap { little($0, 8) } + Array("GNUlInUx".utf8)
    return contents + skippable(packed) + skippable(footer)
  }
}
