import LayerIndex
import Protocols

/// What a stack of layers looks like from above: their entries over each other, deletions done (OCI image-spec, layer.md), as if each had been unpacked in
/// the order of its archive.
///
/// A deletion takes what lower layers have, never what stands in its own, wherever in the archive it comes. A parent that no entry names is made with the
/// mode 0755. Links in the way to an entry are followed inside the tree; one that leads nowhere gives way to a directory.
final class MergedTree {
  final class Node {
    /// nil for a directory that no entry names.
    var entry: LayerIndex.Entry?
    /// Which layer it is in, from below.
    var layer: Int
    /// By name, of a directory.
    var children: [[UInt8]: Node] = [:]
    /// What the layer that is being merged has brought or passed through.
    fileprivate var written: (layer: Int, names: Set<[UInt8]>) = (-1, [])
    var isDirectory: Bool { entry?.kind == .directory || entry == nil }

    init(_ entry: LayerIndex.Entry?, layer: Int) {
      self.entry = entry
      self.layer = layer
    }
  }
  private typealias Step = (name: [UInt8], node: Node)

  private(set) var root = Node(nil, layer: 0)
  /// The layer that is being merged, and whether it deletes anything: only then does it matter what it has written.
  private var layer = 0
  private var deletes = false
  private static let whiteout = Array(".wh.".utf8)
  private static let opaque = Array(".wh..wh..opq".utf8)
  private static let bookkeeping = Array(".wh..wh.".utf8)
  private static let mostLinks = 40

  /// - Parameter layers: from below.
  /// - Throws: `invalidArgument` for an entry that leads out of the tree, or that the entries before it do not allow.
  init(_ layers: [LayerIndex]) throws(ContainerdError) {
    for (number, index) in layers.enumerated() {
      layer = number
      deletes = index.entries.contains { Self.isMark($0.name) }
      for entry in index.entries {
        let path = try Self.path(entry)
        if Self.isBookkeeping(path) { continue }
        if let name = path.last, name.starts(with: Self.whiteout) { try delete(name, in: Array(path.dropLast()), entry) } else { try place(entry, path) }
      }
    }
  }

  // MARK: deletions

  private func delete(_ name: [UInt8], in path: [[UInt8]], _ entry: LayerIndex.Entry) throws(ContainerdError) {
    let hidden = Array(name.dropFirst(Self.whiteout.count))
    if hidden.isEmpty || hidden == [46] || hidden == [46, 46] { throw .invalidArgument("whiteout \"\(entry.text)\" names nothing") }
    guard let directory = try walk(path, entry)?.last?.node, directory.isDirectory else { return }
    if name == Self.opaque {
      for child in Array(directory.children.keys) { hide(child, in: directory) }
    } else {
      hide(hidden, in: directory)
    }
  }

  /// Of a directory that this layer has something in, only what it has not.
  private func hide(_ name: [UInt8], in directory: Node) {
    guard let node = directory.children[name] else { return }
    guard directory.written.layer == layer, directory.written.names.contains(name) else { return directory.children[name] = nil }
    if node.isDirectory { for child in Array(node.children.keys) { hide(child, in: node) } }
  }

  private func note(_ name: [UInt8], in directory: Node) {
    if !deletes { return }
    if directory.written.layer != layer { directory.written = (layer, []) }
    directory.written.names.insert(name)
  }

  // MARK: entries

  private func place(_ entry: LayerIndex.Entry, _ path: [[UInt8]]) throws(ContainerdError) {
    guard let name = path.last else {
      guard entry.kind == .directory else { throw .invalidArgument("entry \"\(entry.text)\": the root is a directory") }
      (root.entry, root.layer) = (entry, layer)
      return
    }
    if entry.kind == .character, entry.major == 0, entry.minor == 0 {
      throw .invalidArgument("entry \"\(entry.text)\": character device 0:0 is overlayfs's own mark of a deletion")
    }
    let parent = try made(Array(path.dropLast()), entry)
    note(name, in: parent)
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
    guard let parent = try walk(Array(path.dropLast()), entry)?.last?.node, parent.isDirectory else { return nil }
    return parent.children[name]
  }

  /// The directory there, made if there is none.
  private func made(_ path: [[UInt8]], _ entry: LayerIndex.Entry) throws(ContainerdError) -> Node {
    if let way = try walk(path, entry), let there = way.last?.node {
      if !there.isDirectory { throw .invalidArgument("entry \"\(entry.text)\": what it should be in is no directory") }
      for (above, step) in zip(way, way.dropFirst()) { note(step.name, in: above.node) }
      return there
    }
    guard let name = path.last else { return root }
    let parent = try made(Array(path.dropLast()), entry)
    let node = Node(nil, layer: layer)
    parent.children[name] = node
    note(name, in: parent)
    return node
  }

  /// From the root to what is at the path, all links followed; nil if there is nothing.
  private func walk(_ path: [[UInt8]], _ entry: LayerIndex.Entry) throws(ContainerdError) -> [Step]? {
    var way: [Step] = [([], root)]
    var rest = Array(path.reversed())
    var links = 0
    while let name = rest.popLast() {
      if name.isEmpty || name == [46] { continue }
      if name == [46, 46] {
        // The root is its own parent: a link cannot lead out.
        if way.count > 1 { way.removeLast() }
        continue
      }
      guard let here = way.last?.node, here.isDirectory, let next = here.children[name] else { return nil }
      guard let link = next.entry, link.kind == .symlink else {
        way.append((name, next))
        continue
      }
      links += 1
      if links > Self.mostLinks { throw .invalidArgument("entry \"\(entry.text)\": too many symbolic links on the way to it") }
      if link.link.first == UInt8(ascii: "/") { way = [([], root)] }
      rest += link.link.split(separator: UInt8(ascii: "/")).map { Array($0) }.reversed()
    }
    return way
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
  private static func isMark(_ name: [UInt8]) -> Bool {
    let last = name.split(separator: UInt8(ascii: "/")).last { $0 != [46] }
    return last?.starts(with: whiteout) ?? false
  }
  private static func isBookkeeping(_ path: [[UInt8]]) -> Bool { path.contains { $0.starts(with: bookkeeping) && $0 != opaque } }
}
