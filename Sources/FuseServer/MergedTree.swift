import LayerIndex
import Protocols

/// What a stack of layers looks like from above: their entries over each other, deletions done (OCI image-spec, layer.md).
///
/// A deletion takes what lower layers have, never what stands in its own, wherever in the archive it comes. A parent that no entry names is made with the
/// mode 0755. Links in the way to an entry are followed inside the tree.
final class MergedTree {
  final class Node {
    /// nil for a directory that no entry names.
    var entry: LayerIndex.Entry?
    /// Which layer it is in, from below.
    var layer: Int
    /// By name, of a directory.
    var children: [[UInt8]: Node] = [:]
    var isDirectory: Bool { entry?.kind == .directory || entry == nil }

    init(_ entry: LayerIndex.Entry?, layer: Int) {
      self.entry = entry
      self.layer = layer
    }
  }

  private(set) var root = Node(nil, layer: 0)
  private static let whiteout = Array(".wh.".utf8)
  private static let opaque = Array(".wh..wh..opq".utf8)
  private static let bookkeeping = Array(".wh..wh.".utf8)
  private static let mostLinks = 40

  /// - Parameter layers: from below.
  /// - Throws: `invalidArgument` for an entry that leads out of the tree, or that the entries before it do not allow.
  init(_ layers: [LayerIndex]) throws(ContainerdError) {
    for (number, layer) in layers.enumerated() {
      for entry in layer.entries { try delete(entry) }
      for entry in layer.entries { try place(entry, layer: number) }
    }
  }

  private func delete(_ entry: LayerIndex.Entry) throws(ContainerdError) {
    let path = try Self.path(entry)
    guard let name = path.last, name.starts(with: Self.whiteout) else { return }
    if Self.isBookkeeping(path) { return }
    let hidden = Array(name.dropFirst(Self.whiteout.count))
    if hidden.isEmpty || hidden == [46] || hidden == [46, 46] { throw .invalidArgument("whiteout \"\(entry.text)\" names nothing") }
    guard let directory = try walk(Array(path.dropLast()), makingIn: nil, entry), directory.isDirectory else { return }
    if name == Self.opaque { directory.children = [:] } else { directory.children[hidden] = nil }
  }

  private func place(_ entry: LayerIndex.Entry, layer: Int) throws(ContainerdError) {
    let path = try Self.path(entry)
    guard let name = path.last else {
      guard entry.kind == .directory else { throw .invalidArgument("entry \"\(entry.text)\": the root is a directory") }
      (root.entry, root.layer) = (entry, layer)
      return
    }
    if name.starts(with: Self.whiteout) || Self.isBookkeeping(path) { return }
    if entry.kind == .character, entry.major == 0, entry.minor == 0 {
      throw .invalidArgument("entry \"\(entry.text)\": character device 0:0 is overlayfs's own mark of a deletion")
    }
    let parent = try made(Array(path.dropLast()), layer: layer, entry)
    switch entry.kind {
    case .directory:
      if let there = parent.children[name], there.isDirectory {
        (there.entry, there.layer) = (entry, layer)
      } else {
        parent.children[name] = Node(entry, layer: layer)
      }
    case .hardlink:
      guard let target = try existing(try Self.path(entry.link, entry), entry) else {
        throw .invalidArgument("hard link \"\(entry.text)\": its target \"\(String(decoding: entry.link, as: UTF8.self))\" does not exist")
      }
      if target.isDirectory {
        throw .invalidArgument("hard link \"\(entry.text)\": its target \"\(String(decoding: entry.link, as: UTF8.self))\" is a directory")
      }
      parent.children[name] = target
    default: parent.children[name] = Node(entry, layer: layer)
    }
  }

  // MARK: paths

  /// What is at the path; links on the way are followed, the last part is not.
  private func existing(_ path: [[UInt8]], _ entry: LayerIndex.Entry) throws(ContainerdError) -> Node? {
    guard let name = path.last else { return root }
    guard let parent = try walk(Array(path.dropLast()), makingIn: nil, entry), parent.isDirectory else { return nil }
    return parent.children[name]
  }

  private func made(_ path: [[UInt8]], layer: Int, _ entry: LayerIndex.Entry) throws(ContainerdError) -> Node {
    guard let node = try walk(path, makingIn: layer, entry) else { throw .invalidArgument("entry \"\(entry.text)\": its directory does not exist") }
    if !node.isDirectory { throw .invalidArgument("entry \"\(entry.text)\": what it should be in is no directory") }
    return node
  }

  private func walk(_ path: [[UInt8]], makingIn layer: Int?, _ entry: LayerIndex.Entry) throws(ContainerdError) -> Node? {
    var way: [Node] = [root]
    var rest = Array(path.reversed())
    var links = 0
    while let name = rest.popLast() {
      if name.isEmpty || name == [46] { continue }
      if name == [46, 46] {
        // The root is its own parent: a link cannot lead out.
        if way.count > 1 { way.removeLast() }
        continue
      }
      guard let here = way.last, here.isDirectory else { return layer == nil ? nil : way.last }
      guard let next = here.children[name] else {
        guard let layer else { return nil }
        let node = Node(nil, layer: layer)
        here.children[name] = node
        way.append(node)
        continue
      }
      guard let link = next.entry, link.kind == .symlink else {
        way.append(next)
        continue
      }
      links += 1
      if links > Self.mostLinks { throw .invalidArgument("entry \"\(entry.text)\": too many symbolic links on the way to it") }
      if link.link.first == UInt8(ascii: "/") { way = [root] }
      rest += link.link.split(separator: UInt8(ascii: "/")).map { Array($0) }.reversed()
    }
    return way.last
  }

  private static func path(_ entry: LayerIndex.Entry) throws(ContainerdError) -> [[UInt8]] { try path(entry.name, entry) }
  private static func path(_ name: [UInt8], _ entry: LayerIndex.Entry) throws(ContainerdError) -> [[UInt8]] {
    var parts: [[UInt8]] = []
    for part in name.split(separator: UInt8(ascii: "/")) where part != [46] {
      if part == [46, 46] { throw .invalidArgument("entry \"\(entry.text)\" points out of the layer") }
      if part.count > 255 { throw .invalidArgument("entry \"\(entry.text)\" has a name of \(part.count) bytes; 255 are the most") }
      if part.contains(0) { throw .invalidArgument("entry \"\(entry.text)\" has a zero byte in its name") }
      parts.append(Array(part))
    }
    return parts
  }
  private static func isBookkeeping(_ path: [[UInt8]]) -> Bool { path.contains { $0.starts(with: bookkeeping) && $0 != opaque } }
}
