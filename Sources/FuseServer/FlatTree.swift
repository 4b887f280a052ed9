import CFuse
import CLinux
import LayerIndex
import Protocols
import SystemKit

/// A merged tree as the C side reads it, out of a mapped `TreeFile`.
///
/// Safe from any thread: nothing is written after it was made.
public final class FlatTree: @unchecked Sendable {
  let tree: UnsafeMutablePointer<cfuse_tree>
  private let map: MappedFile
  private let nodes: UnsafeBufferPointer<cfuse_node>
  private let names: UnsafeBufferPointer<cfuse_name>
  private let text: UnsafeBufferPointer<UInt8>
  private let contents: UnsafeBufferPointer<cfuse_contents>
  private let pieces: UnsafeBufferPointer<cfuse_piece>
  private let large: UnsafeBufferPointer<TreeFile.Large>

  /// Merges layers, from below, into a file. What was at the path is replaced. Blocking.
  public static func write(_ layers: [LayerIndex], to path: String) throws(ContainerdError) {
    for layer in layers { try layer.check() }
    let merged = try MergedTree(layers)
    do { try Files.writeAtomically(TreeFile.encode(merged), to: path) } catch { throw ContainerdError(.unknown, "tree \(path): \(error)") }
  }

  /// Maps a file that `write` made. `dataLoss` if it is none.
  public init(path: String) throws(ContainerdError) {
    do { map = try MappedFile(path: path) } catch { throw ContainerdError(error.code, "tree \(path): \(error)") }
    let bytes = map.bytes
    guard bytes.count >= TreeFile.head, Array(bytes[0..<8]) == TreeFile.magic else { throw ContainerdError(.dataLoss, "\(path): no tree") }
    let counts = (0..<TreeFile.sections).map { bytes.loadUnaligned(fromByteOffset: 8 + 8 * $0, as: UInt64.self) }
    var place = TreeFile.head
    var fits = true
    func section<Value>(_ number: Int, _ type: Value.Type) -> UnsafeBufferPointer<Value> {
      let (room, stride) = (bytes.count - place, MemoryLayout<Value>.stride)
      guard fits, room >= 0, counts[number] <= UInt64(room / stride) else {
        fits = false
        return UnsafeBufferPointer(start: nil, count: 0)
      }
      let count = Int(counts[number])
      defer { place += (count * stride + 7) / 8 * 8 }
      return UnsafeBufferPointer(start: (bytes.baseAddress! + place).assumingMemoryBound(to: type), count: count)
    }
    nodes = section(0, cfuse_node.self)
    names = section(1, cfuse_name.self)
    let attributes = section(2, cfuse_attribute.self)
    contents = section(3, cfuse_contents.self)
    pieces = section(4, cfuse_piece.self)
    large = section(5, TreeFile.Large.self)
    text = section(6, UInt8.self)
    guard fits, nodes.count > 0, contents.count == nodes.count else { throw ContainerdError(.dataLoss, "\(path): a tree that is cut off") }
    tree = .allocate(capacity: 1)
    tree.initialize(
      to: cfuse_tree(
        nodes: nodes.baseAddress, names: names.baseAddress, attributes: attributes.isEmpty ? nil : attributes.baseAddress,
        contents: contents.baseAddress, pieces: pieces.baseAddress, text: text.baseAddress, node_count: UInt32(nodes.count),
        piece_count: UInt32(pieces.count), bytes: bytes.loadUnaligned(fromByteOffset: 8 + 8 * TreeFile.sections, as: UInt64.self)))
  }

  deinit { tree.deallocate() }

  /// Files, directories and links.
  public var count: Int { nodes.count }

  func size(of node: Int) -> Int64 { Int64(nodes[node].size) }

  /// Which layer, from below, has the node's bytes.
  func layer(of node: Int) -> Int { Int(contents[node].layer) }

  /// Where they are in its archive; what is in none of them is zero.
  func pieces(of node: Int) -> UnsafeBufferPointer<cfuse_piece> {
    let (first, count) = (Int(contents[node].first), Int(contents[node].count))
    guard first <= pieces.count, count <= pieces.count - first else { return UnsafeBufferPointer(start: nil, count: 0) }
    return UnsafeBufferPointer(rebasing: pieces[first..<first + count])
  }

  /// The path in its layer of a file that is large; nil for others.
  func path(ofLarge node: Int) -> String? {
    var (low, high) = (0, large.count)
    while low < high {
      let middle = (low + high) / 2
      if large[middle].node < UInt32(node) { low = middle + 1 } else { high = middle }
    }
    guard low < large.count, large[low].node == UInt32(node) else { return nil }
    let (start, length) = (Int(large[low].text), Int(large[low].length))
    guard start <= text.count, length <= text.count - start else { return nil }
    return String(decoding: UnsafeBufferPointer(rebasing: text[start..<start + length]), as: UTF8.self)
  }

  /// Whether most bytes are those of large files: then it pays to answer every OPEN, so that complete files can be passed through to the kernel.
  public var isMadeOfLargeFiles: Bool {
    let bytes = large.reduce(into: UInt64(0)) { $0 += nodes[Int($1.node)].size }
    return bytes >= 8 << 20 && bytes >= tree.pointee.bytes / 2
  }

  /// A node's path, for messages: its first name. Slow.
  func path(of node: Int) -> String {
    var parts: [String] = []
    var wanted = node
    while wanted != 0, parts.count < 4096 {
      guard let place = names.firstIndex(where: { Int($0.node) == wanted }) else { break }
      parts.append(String(decoding: UnsafeBufferPointer(rebasing: text[Int(names[place].text)..<Int(names[place].text + names[place].length)]), as: UTF8.self))
      wanted = nodes.firstIndex { $0.count > 0 && (Int($0.first)..<Int($0.first + $0.count)).contains(place) } ?? 0
    }
    return parts.reversed().joined(separator: "/")
  }

}
