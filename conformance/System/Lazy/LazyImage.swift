import CLinux
import ConformanceSuites
import SystemKit

/// The image that lazy snapshotters are judged by: its layers as tar archives, and what must be seen of them.
///
/// A target packs the archives as its snapshotter wants them, and puts them where it fetches them.
public struct LazyImage: Sendable {
  /// From below.
  public let layers: [[UInt8]]
  /// Files of the top tree that are read whole: paths and bytes. Most of the bytes are those of `large`.
  package let files: [String: [UInt8]]
  /// The whole top tree.
  package let tree: SeenTree
  /// A file of many spans, in whatever way the snapshotter cuts its layers.
  package static let large = "large"
  /// Small files, of which no two are alike.
  package static let small = (0..<120).map { "small/\($0)" }

  /// Made once: some 14 MB.
  public static let standard = LazyImage()

  private init() {
    var maker = Maker()
    maker.lowest()
    maker.highest()
    layers = maker.layers.map(TarRecord.archive)
    tree = SeenTree(files: maker.seen)
    var files: [String: [UInt8]] = [:]
    for (path, file) in maker.seen { if case .file(let bytes) = file.kind, path != Maker.sparse { files[path] = bytes } }
    self.files = files
  }

  /// As a layer is usually packed. Blocking.
  /// - Parameter directory: an empty one, for two files.
  public static func gzip(_ archive: [UInt8], in directory: String) throws -> [UInt8] {
    let (plain, packed) = (directory + "/layer.tar", directory + "/layer.tar.gz")
    try Files.writeAtomically(archive, to: plain)
    let pid = try Program(words: ["gzip", "-n", "-1", "-c"], stdin: plain, stdout: packed).spawn()
    if try Children.end(of: pid, within: 60) != 0 { throw SuiteError("gzip could not pack a layer of \(archive.count) bytes") }
    let bytes = try Files.read(packed, limit: 1 << 30)
    for file in [plain, packed] { unlink(file) }
    return bytes
  }

  /// Bytes that no compression makes smaller.
  static func noise(_ number: Int, count: Int) -> [UInt8] {
    var state = UInt64(truncatingIfNeeded: number) &* 0x9e37_79b9_7f4a_7c15 &+ 1
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
      var place = 0
      while place + 8 <= count {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        UnsafeMutableRawPointer(buffer.baseAddress!).storeBytes(of: state, toByteOffset: place, as: UInt64.self)
        place += 8
      }
      while place < count {
        buffer[place] = UInt8(truncatingIfNeeded: place)
        place += 1
      }
      used = count
    }
  }
}

/// Records, and what they are to look like.
private struct Maker {
  static let sparse = "odd/sparse"
  var layers: [[TarRecord]] = []
  var seen: [String: SeenFile] = ["": SeenFile(kind: .directory, mode: 0o755, owner: 0, group: 0, modified: nil, attributes: [:], names: [""])]

  private mutating func add(_ record: TarRecord, _ kind: FileKind, attributes: [String: [UInt8]] = [:], nanoseconds: Int = 0) {
    var before: [(String, [UInt8])] = attributes.sorted { $0.key < $1.key }.map { ("SCHILY.xattr." + $0.key, $0.value) }
    if nanoseconds > 0 { before.append(("mtime", bytes("\(record.modified).\(String(1_000_000_000 + nanoseconds).dropFirst())"))) }
    if !before.isEmpty { layers[layers.count - 1].append(.extended(before)) }
    layers[layers.count - 1].append(record)
    let path = record.name.hasSuffix("/") ? String(record.name.dropLast()) : record.name
    seen[path] = SeenFile(
      kind: kind, mode: record.mode, owner: record.owner, group: record.group, modified: FileTime(record.modified, nanoseconds), attributes: attributes,
      names: [path])
  }

  private mutating func file(_ path: String, _ contents: [UInt8], mode: Int = 0o644, _ change: (inout TarRecord) -> Void = { _ in }) {
    var record = TarRecord(path)
    record.contents = contents
    record.mode = mode
    change(&record)
    add(record, .file(contents))
  }

  private mutating func directory(_ path: String, mode: Int = 0o755, modified: Int, _ change: (inout TarRecord) -> Void = { _ in }) {
    var record = TarRecord(path + "/", "5")
    record.mode = mode
    record.modified = modified
    change(&record)
    add(record, .directory)
  }

  private mutating func special(_ path: String, _ type: Character, _ kind: FileKind, mode: Int = 0o644, _ change: (inout TarRecord) -> Void = { _ in }) {
    var record = TarRecord(path, type)
    record.mode = mode
    change(&record)
    add(record, kind)
  }

  /// What the upper layer takes away.
  private mutating func below(_ path: String) {
    file(path, bytes("of the lower layer: \(path)"))
    seen[path] = nil
  }

  mutating func lowest() {
    layers.append([])
    file(LazyImage.large, LazyImage.noise(1, count: 12 << 20))
    directory("small", modified: 1_100_000_000)
    for (number, path) in LazyImage.small.enumerated() { file(path, LazyImage.noise(1000 + number, count: 100 + 37 * number)) }
    file("text", bytes((0..<60_000).map { "line \($0) of a text that is read\n" }.joined()))
    directory("dir", modified: 1_100_000_001)
    file("dir/kept", bytes("kept"))
    below("dir/gone")
    below("gone")
    below("replaced")
    directory("hidden", modified: 1_100_000_002)
    below("hidden/inner")
    file("names-1", bytes("one file of three names"))
    for name in ["names-2", "dir/names-3"] {
      layers[0].append(TarRecord(name, "1"))
      layers[0][layers[0].count - 1].link = "names-1"
      seen[name] = seen["names-1"]
    }
    for name in ["names-1", "names-2", "dir/names-3"] { seen[name]?.names = ["names-1", "names-2", "dir/names-3"] }
  }

  mutating func highest() {
    layers.append([])
    for path in [".wh.gone", "dir/.wh.gone", "hidden/.wh..wh..opq"] { layers[1].append(TarRecord(path)) }
    directory("dir", modified: 1_200_000_001)
    directory("hidden", mode: 0o711, modified: 1_200_000_002)
    file("hidden/new", bytes("new"))
    file("replaced", LazyImage.noise(7, count: 200_000))
    directory("odd", modified: 1_200_000_003)
    directory("odd/sticky", mode: 0o1777, modified: 1_200_000_004) { ($0.owner, $0.group) = (1000, 2000) }
    file("odd/suid", bytes("suid"), mode: 0o4755) { $0.owner = 1000 }
    file("odd/empty", [])
    special("odd/link", "2", .link("../dir/kept"), mode: 0o777) { $0.link = "../dir/kept" }
    special("odd/fifo", "6", .fifo)
    special("odd/null", "3", .character(1, 3), mode: 0o666) { $0.device = (1, 3) }
    special("odd/disk", "4", .block(7, 200), mode: 0o660) { ($0.device, $0.group) = ((7, 200), 6) }
    var record = TarRecord("odd/attributes", "0", "with attributes")
    record.modified = 1_234_567_890
    add(
      record, .file(record.contents),
      attributes: ["user.note": bytes("a note"), "security.capability": [0, 0, 0, 2, 0, 4, 0, 0] + [UInt8](repeating: 0, count: 12)], nanoseconds: 123_456_789)
    file("odd/" + String(repeating: "n", count: 90), bytes("a long name"))
    sparse()
  }

  /// A file with holes, as GNU tar writes it in a POSIX archive (form 1.0): a map in front of the bytes that are there.
  private mutating func sparse() {
    let pieces: [(offset: Int, bytes: [UInt8])] = [(1 << 20, LazyImage.noise(8, count: 5000)), ((3 << 20) - 4, bytes("end\n"))]
    var whole = [UInt8](repeating: 0, count: 3 << 20)
    var map = "\(pieces.count)\n"
    for piece in pieces {
      map += "\(piece.offset)\n\(piece.bytes.count)\n"
      whole.replaceSubrange(piece.offset..<piece.offset + piece.bytes.count, with: piece.bytes)
    }
    let padded = bytes(map) + [UInt8](repeating: 0, count: (512 - map.utf8.count % 512) % 512)
    layers[1].append(
      .extended([
        ("GNU.sparse.major", bytes("1")), ("GNU.sparse.minor", bytes("0")), ("GNU.sparse.name", bytes(Self.sparse)),
        ("GNU.sparse.realsize", bytes("\(whole.count)")),
      ]))
    var record = TarRecord("odd/GNUSparseFile.0/sparse")
    record.contents = padded + pieces.flatMap(\.bytes)
    layers[1].append(record)
    seen[Self.sparse] = SeenFile(
      kind: .file(whole), mode: record.mode, owner: 0, group: 0, modified: FileTime(record.modified), attributes: [:], names: [Self.sparse])
  }
}
