import CFuse
import LayerIndex
import Protocols
import SystemKit

/// A merged tree in a file that is mapped: made once, served for as long as the mount lives, by whichever process has the mount.
///
///     128 bytes "CRTREE02", then the number of things in each section, and the bytes of all files
///     sections  nodes, names, attributes, contents, pieces, large, text; each begins at a multiple of 8
///
/// Numbers are as the machine has them: the file is of use where it was made.
enum TreeFile {
  static let magic = Array("CRTREE02".utf8)
  static let head = 128
  static let sections = 7

  /// A large file's path in its own layer.
  struct Large {
    var node: UInt32
    var text: UInt32
    var length: UInt32
    var unused: UInt32 = 0
  }
  /// Bytes of a file from which on it is large.
  static let largest: Int64 = 1 << 20

  static func encode(_ merged: MergedTree) -> [UInt8] {
    var maker = FlatTreeMaker()
    maker.make(merged.root)
    var bytes = magic
    func append(_ value: Int) { withUnsafeBytes(of: UInt64(value)) { bytes += $0 } }
    for count in [
      maker.nodes.count, maker.names.count, maker.attributes.count, maker.contents.count, maker.pieces.count, maker.large.count,
      maker.text.count, Int(maker.bytes),
    ] { append(count) }
    bytes += [UInt8](repeating: 0, count: head - bytes.count)
    func append<Value>(section: [Value]) {
      section.withUnsafeBytes { bytes += $0 }
      bytes += [UInt8](repeating: 0, count: (8 - bytes.count % 8) % 8)
    }
    append(section: maker.nodes)
    append(section: maker.names)
    append(section: maker.attributes)
    append(section: maker.contents)
    append(section: maker.pieces)
    append(section: maker.large)
    append(section: maker.text)
    return bytes
  }
}
