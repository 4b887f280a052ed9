import CLinux
import Foundation
import Hashing
import LayerArchive
import Protocols
import SystemKit
import TestSupport
import Testing

/// Compressed streams, whole and broken, in pieces of every size.
@Suite(.serialized, .enabled(if: Needs.root, "needs root: run the tests as root")) struct StreamTests {
  let scene: LayerScene
  init() throws { scene = try LayerScene() }

  static let gzip = "application/vnd.oci.image.layer.v1.tar+gzip"
  static let zstd = "application/vnd.oci.image.layer.v1.tar+zstd"

  /// Gives a blob out in pieces of a size of its own, as a slow network or a small disk block would.
  struct Pieces: ContentProvider, ContentReader {
    let bytes: [UInt8]
    let piece: Int
    var size: Int64 { Int64(bytes.count) }
    func reader(_ digest: Digest) async throws -> any ContentReader { self }
    func read(at offset: Int64, count: Int) async throws -> [UInt8] { Array(bytes.dropFirst(Int(offset)).prefix(min(count, piece))) }
    func close() async {}
  }

  func apply(_ bytes: [UInt8], _ type: String, piece: Int = 1 << 20, algorithm: Digest.Algorithm = .sha256, diffID: Digest? = nil) async throws -> Descriptor {
    let layer = Descriptor(mediaType: type, digest: Digest.of(bytes, algorithm), size: Int64(bytes.count))
    return try await scene.applier.apply(layer, from: Pieces(bytes: bytes, piece: piece), to: scene.bind, options: ApplyOptions(diffID: diffID, sync: false))
  }

  func code(_ body: () async throws -> Void) async -> ContainerdError.Code? {
    do { try await body() } catch { return (error as? ContainerdError)?.code ?? .internalError }
    return nil
  }

  /// A file of a few megabytes that compresses well in one half and not at all in the other.
  var plain: [UInt8] {
    var random = SplitMix(seed: 7)
    var tar = TarBuilder()
    tar.add("flat", "0", [UInt8](repeating: 65, count: 3_000_001))
    tar.add("noise", "0", (0..<1_500_000).map { _ in UInt8(truncatingIfNeeded: random.next()) })
    tar.add("flat again", "0", [UInt8](repeating: 66, count: 2_000_001))
    return tar.archive
  }

  func pack(_ command: String, _ bytes: [UInt8]) throws -> [UInt8] {
    try Files.writeAtomically(bytes, to: scene.scratch.path + "/in")
    let result = try scene.shell("\(command) <in >out")
    try #require(result.status == 0, "\(result.output)")
    return try Files.read(scene.scratch.path + "/out")
  }

  @Test(arguments: [("gzip -n1", gzip), ("gzip -n9", gzip), ("zstd -q", zstd), ("zstd -q --long=24 --ultra -20", zstd)])
  func piecesOfAnySizeGiveTheSame(_ command: String, _ type: String) async throws {
    let plain = plain
    let packed = try pack(command, plain)
    for piece in [1 << 20, 65_537, 4096, 509] { #expect(try await apply(packed, type, piece: piece, diffID: Digest.of(plain)).size == Int64(plain.count)) }
    // Byte by byte, what is small.
    var small = TarBuilder()
    small.file("x", "1")
    #expect(try await apply(pack(command, small.archive), type, piece: 1).digest == Digest.of(small.archive))
  }

  @Test func severalMembersAreOneStream() async throws {
    let plain = plain
    for size in [1 << 20, 777_777] {
      var packed: [[UInt8]] = [[], []]
      for start in stride(from: 0, to: plain.count, by: size) {
        let part = Array(plain[start..<min(start + size, plain.count)])
        packed[0] += try pack("gzip -n1", part)
        packed[1] += try pack("zstd -q1", part)
      }
      // An empty member, and padding that tapes leave.
      packed[0] += try pack("gzip -n", []) + [UInt8](repeating: 0, count: 700)
      for (bytes, type) in zip(packed, [Self.gzip, Self.zstd]) {
        for piece in [1 << 20, 8191] { #expect(try await apply(bytes, type, piece: piece).digest == Digest.of(plain), "\(type) of \(size) in \(piece)") }
      }
    }
  }

  @Test func whatIsCutOrChangedIsRefused() async throws {
    let plain = plain
    for (command, type) in [("gzip -n", Self.gzip), ("zstd -q --check", Self.zstd)] {
      let packed = try pack(command, plain)
      for keep in [0, 1, 5, 17, packed.count / 2, packed.count - 9, packed.count - 1] {
        #expect(await code { _ = try await apply(Array(packed[..<keep]), type) } == .invalidArgument, "\(command) cut to \(keep)")
      }
      var changed = packed
      changed[packed.count / 2] ^= 1
      #expect(await code { _ = try await apply(changed, type) } == .invalidArgument, "\(command) with one bit changed")
      #expect(await code { _ = try await apply(packed + Array("more".utf8), type) } == .invalidArgument, "\(command) with more behind it")
    }
    #expect(await code { _ = try await apply(plain, Self.gzip) } == .invalidArgument)
    for keep in [100, 512, 1000, 2_000_000] {
      #expect(await code { _ = try await apply(Array(plain[..<keep]), "application/vnd.oci.image.layer.v1.tar") } == .invalidArgument)
    }
  }

  @Test func emptyArchivesAreLayersThatChangeNothing() async throws {
    let type = "application/vnd.oci.image.layer.v1.tar"
    for bytes in [[], [UInt8](repeating: 0, count: 1024), [UInt8](repeating: 0, count: 10240)] {
      #expect(try await apply(bytes, type).digest == Digest.of(bytes))
      #expect(try await apply(pack("gzip -n", bytes), Self.gzip).digest == Digest.of(bytes))
    }
    #expect(try scene.names().isEmpty)
  }

  @Test func bytesBehindTheArchivesEndCountForItsDigest() async throws {
    var tar = TarBuilder()
    tar.file("x", "1")
    let bytes = tar.archive + Array("garbage".utf8) + [UInt8](repeating: 9, count: 3_000_000)
    let applied = try await apply(bytes, "application/vnd.oci.image.layer.v1.tar", diffID: Digest.of(bytes))
    #expect(applied.size == Int64(bytes.count) && scene.text("x") == "1")
  }

  @Test func aHeaderWithAWrongSumEndsTheArchiveWithAnError() async throws {
    var tar = TarBuilder()
    tar.file("a", "1")
    var bytes = tar.archive
    tar.file("b", "2")
    bytes = tar.archive
    bytes[1024] ^= 1
    #expect(await code { _ = try await apply(bytes, "application/vnd.oci.image.layer.v1.tar") } == .invalidArgument)
  }

  @Test func everyAlgorithmIsChecked() async throws {
    var tar = TarBuilder()
    tar.file("x", "1")
    for algorithm in Digest.Algorithm.allCases {
      let wanted = Digest.of(tar.archive, algorithm)
      #expect(try await apply(tar.archive, "application/vnd.oci.image.layer.v1.tar", algorithm: algorithm, diffID: wanted).digest == wanted)
      let layer = Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar", digest: Digest.of([1], algorithm), size: Int64(tar.archive.count))
      let refused = await code {
        _ = try await scene.applier.apply(layer, from: Pieces(bytes: tar.archive, piece: 100), to: scene.bind, options: ApplyOptions(sync: false))
      }
      #expect(refused == .failedPrecondition)
    }
  }

  /// The last frame ends as the megabyte that is unpacked at a time is full.
  @Test(arguments: [1, 2, 3]) func aFrameMayEndWhereTheBufferDoes(_ megabytes: Int) async throws {
    var tar = TarBuilder()
    tar.file("x", String(repeating: "x", count: megabytes << 20 - 512 - 1024))
    try #require(tar.archive.count == megabytes << 20)
    for command in ["zstd -q", "zstd -q --check", "zstd -q --no-content-size"] {
      #expect(try await apply(pack(command, tar.archive), Self.zstd, diffID: Digest.of(tar.archive)).size == Int64(tar.archive.count))
    }
    let half = megabytes << 19
    let frames = try pack("zstd -q", Array(tar.archive[..<half])) + pack("zstd -q", Array(tar.archive[half...]))
    #expect(try await apply(frames, Self.zstd, diffID: Digest.of(tar.archive)).size == Int64(tar.archive.count))
    #expect(await code { _ = try await apply(Array(frames.dropLast(3)), Self.zstd) } == .invalidArgument)
  }

  /// A member's header with all that it can have lies across the border of what is read at a time (RFC 1952, 2.3).
  @Test func aHeaderMayBeCutAnywhere() async throws {
    var tar = TarBuilder()
    var random = SplitMix(seed: 3)
    tar.add(.init(name: Array("noise".utf8), data: (0..<(1 << 20 - 40_960)).map { _ in UInt8.random(in: 0...255, using: &random) }))
    let cut = tar.bytes.count
    tar.file("after", "text")
    let (first, second) = (try pack("gzip -n", Array(tar.archive[..<cut])), try pack("gzip -n", Array(tar.archive[cut...])))
    var head: [UInt8] = [0x1f, 0x8b, 8, 0x1e] + second[4..<10]
    head += [5, 0, 1, 2, 3, 4, 5] + Array("name".utf8) + [0] + Array("comment".utf8) + [0]
    let sum = Self.crc32(head)
    head += [UInt8(truncatingIfNeeded: sum), UInt8(truncatingIfNeeded: sum >> 8)]
    for inside in [1, 3, 9, 11, 13, 16, 19, 24, 28, 31] {
      // The first member's header grows until so many bytes of the second's are left before the border.
      let extra = 1 << 20 - inside - first.count - 2
      let packed = [0x1f, 0x8b, 8, 4] + first[4..<10] + [UInt8(extra & 0xff), UInt8(extra >> 8)] + [UInt8](repeating: 0, count: extra) + first[10...]
      let whole = packed + head + second[10...]
      #expect(try await apply(whole, Self.gzip, diffID: Digest.of(tar.archive)).size == Int64(tar.archive.count), "\(inside)")
      #expect(scene.text("after") == "text")
    }
  }

  private static func crc32(_ bytes: [UInt8]) -> UInt32 {
    var sum = UInt32.max
    for byte in bytes {
      sum ^= UInt32(byte)
      for _ in 0..<8 { sum = sum & 1 == 0 ? sum >> 1 : sum >> 1 ^ 0xedb8_8320 }
    }
    return ~sum
  }

  /// A gigabyte of nothing in a megabyte: what is unpacked passes through, it is never held.
  @Test func aBombTakesNoMemory() async throws {
    var tar = TarBuilder()
    tar.add(.init(name: Array("bomb".utf8), size: 1 << 30))
    let header = Array(tar.archive[..<512])
    try Files.writeAtomically(header, to: scene.scratch.path + "/in")
    try #require(scene.shell("(cat in; head -c 1073741824 /dev/zero; head -c 1024 /dev/zero) | gzip -n1 >out").status == 0)
    let packed = try Files.read(scene.scratch.path + "/out")
    let before = try peakMemory()
    _ = try await apply(packed, Self.gzip)
    // Other tests run beside it, in the same process.
    #expect(try peakMemory() - before < 512 << 20)
    #expect(try scene.status("bomb").st_size == 1 << 30)
  }

  private func peakMemory() throws -> Int {
    let text = String(decoding: try Files.read("/proc/self/status"), as: UTF8.self)
    let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("VmHWM") })
    return try #require(Int(line.split(separator: " ").dropLast().last ?? "")) << 10
  }
}

/// A small random generator with a seed: a failure is repeated by its number.
struct SplitMix: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
