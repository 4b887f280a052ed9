import CLinux
import Hashing
import LayerIndex
import Protocols
import SystemKit
import TestSupport

/// A tree of all that layers hold, and the archives that Debian's tar and gzip make of it.
struct LayerScene {
  let scratch = ScratchDirectory("layer-index")
  var tree: String { scratch.path + "/tree" }

  init(seed: UInt64 = 1) throws {
    var random = Random(state: seed)
    try Files.makeDirectories(tree + "/usr/lib/deep")
    for number in 0..<64 {
      let size = [0, 1, 511, 512, 513, 4096, 30_000, 200_000][Int(random.next() % 8)]
      try write("usr/lib/file-\(number)", bytes(size, &random))
    }
    try write("usr/large", bytes(1_000_000, &random))
    try write("usr/text", Array(repeating: Array("the same line again and again\n".utf8), count: 12_000).flatMap { $0 })
    try write("usr/lib/deep/" + String(repeating: "long-name-", count: 20), Array("long".utf8))
    // A name that is no UTF-8.
    try run("printf x >\"$(printf 'latin-\\351')\"")
    try run("ln -s ../usr/text usr/lib/link; ln usr/text usr/lib/deep/hard; mkfifo usr/fifo; truncate -s 1M usr/holes; printf tail >>usr/holes")
    try run("printf middle | dd of=usr/holes bs=1 seek=500000 conv=notrunc status=none")
    try run("chmod 4755 usr/large; chmod 1777 usr/lib/deep; touch -d '1969-12-31T23:59:57.75Z' usr/text")
  }

  /// The archive as bytes, by a line of shell that writes it to standard output.
  func layer(_ line: String) throws -> String {
    let file = "\(scratch.path)/layer-\(UInt32.random(in: 0 ... .max))"
    try run("{ \(line); } >\(file)")
    return file
  }

  func run(_ line: String) throws {
    let (status, output) = try TestSupport.run(["/bin/bash", "-ec", "set -o pipefail; cd \(tree); " + line])
    if status != 0 { throw ContainerdError(.unknown, "\(line) ended with \(status): \(output)") }
  }

  private func write(_ name: String, _ bytes: [UInt8]) throws { try Files.writeAtomically(bytes, to: tree + "/" + name, mode: 0o644) }

  /// Half of it noise, half of it words: gzip makes blocks of every kind.
  private func bytes(_ count: Int, _ random: inout Random) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      if random.next() % 2 == 0 {
        for _ in 0..<512 { bytes.append(UInt8(truncatingIfNeeded: random.next())) }
      } else {
        for _ in 0..<64 { bytes += Array("word\(random.next() % 40) ".utf8) }
      }
    }
    return Array(bytes.prefix(count))
  }
}

struct Random {
  var state: UInt64
  /// splitmix64.
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }
}

/// A blob in memory, in pieces of any size.
final class MemoryBytes: BlobBytes {
  private let bytes: [UInt8]
  private let piece: Int
  private var place = 0
  private let memory: UnsafeMutableRawBufferPointer
  init(_ bytes: [UInt8], piece: Int = 10_007) {
    self.bytes = bytes
    self.piece = piece
    memory = .allocate(byteCount: piece, alignment: 1)
  }
  deinit { memory.deallocate() }
  func next() -> UnsafeRawBufferPointer? {
    let count = min(piece, bytes.count - place)
    if count == 0 { return nil }
    bytes.withUnsafeBytes { memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[place..<place + count])) }
    place += count
    return UnsafeRawBufferPointer(rebasing: memory[0..<count])
  }
}
