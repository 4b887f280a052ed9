import Protocols

/// A name from an archive, made relative and plain: no empty, `.` or leading `/` parts. `..` is kept out altogether.
///
/// Names are bytes, as in the kernel: nothing is decoded, so two names are the same only if they are the same file.
struct EntryPath: Hashable {
  static let root = EntryPath(plain: [])

  /// The parts with one `/` between them; empty for the root.
  let bytes: [UInt8]
  /// Where the last part begins.
  private let nameStart: Int

  /// `invalidArgument` for a name with `..`.
  init(_ raw: some Collection<UInt8>) throws(ContainerdError) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(raw.count)
    var nameStart = 0
    for part in raw.split(separator: UInt8(ascii: "/")) where !part.elementsEqual(".".utf8) {
      if part.elementsEqual("..".utf8) { throw .invalidArgument("entry \"\(String(decoding: raw, as: UTF8.self))\" points out of the layer") }
      if !bytes.isEmpty { bytes.append(UInt8(ascii: "/")) }
      nameStart = bytes.count
      bytes.append(contentsOf: part)
    }
    self.bytes = bytes
    self.nameStart = nameStart
  }

  /// From a C string of libarchive's.
  init(_ raw: UnsafePointer<CChar>) throws(ContainerdError) {
    var length = 0
    while raw[length] != 0 { length += 1 }
    let start = UnsafeRawPointer(raw).assumingMemoryBound(to: UInt8.self)
    try self.init(UnsafeBufferPointer(start: start, count: length))
  }

  /// Parts that are plain already.
  private init(plain bytes: [UInt8]) {
    self.bytes = bytes
    self.nameStart = bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
  }

  var isRoot: Bool { bytes.isEmpty }
  /// The last part, with the zero that C wants.
  var name: [CChar] { bytes[nameStart...].map { CChar(bitPattern: $0) } + [0] }
  var parent: EntryPath { nameStart == 0 ? .root : EntryPath(plain: Array(bytes[..<(nameStart - 1)])) }
  func appending(_ name: some Collection<UInt8>) -> EntryPath { EntryPath(plain: isRoot ? Array(name) : bytes + [UInt8(ascii: "/")] + name) }
  /// The whole path with the zero that C wants; "." for the root.
  var cString: [CChar] { isRoot ? [46, 0] : bytes.map { CChar(bitPattern: $0) } + [0] }
  /// For messages.
  var text: String { isRoot ? "." : String(decoding: bytes, as: UTF8.self) }

  /// The parts from the top down.
  var parts: [ArraySlice<UInt8>] { bytes.split(separator: UInt8(ascii: "/")) }

  /// The last part without the mark of a deletion, nil if it does not have it.
  var whiteoutName: ArraySlice<UInt8>? {
    let name = bytes[nameStart...]
    return name.starts(with: Self.whiteout) ? name.dropFirst(Self.whiteout.count) : nil
  }
  var isOpaqueMark: Bool { bytes[nameStart...].elementsEqual(Self.opaque) }
  /// Something of aufs's own bookkeeping, or below it: `.wh..wh.plnk/12.34`.
  var isAufsBookkeeping: Bool { parts.contains { $0.starts(with: Self.bookkeeping) } }

  private static let whiteout = Array(".wh.".utf8)
  private static let opaque = Array(".wh..wh..opq".utf8)
  private static let bookkeeping = Array(".wh..wh.".utf8)
}
