import CFuse
import LayerIndex
import Protocols

/// Lays a merged tree out in arrays whose numbers are places in each other.
struct FlatTreeMaker {
  var nodes: [cfuse_node] = []
  var names: [cfuse_name] = []
  var attributes: [cfuse_attribute] = []
  var text: [UInt8] = []
  var contents: [cfuse_contents] = []
  var pieces: [cfuse_piece] = []
  var large: [TreeFile.Large] = []
  var bytes: UInt64 = 0
  private var places: [ObjectIdentifier: UInt32] = [:]

  /// Level by level, so that what a directory lists lies together.
  mutating func make(_ root: MergedTree.Node) {
    var waiting = [root]
    _ = place(root, parent: 0)
    var next = 0
    while next < waiting.count {
      let directory = waiting[next]
      next += 1
      let number = places[ObjectIdentifier(directory)] ?? 0
      nodes[Int(number)].first = UInt32(names.count)
      nodes[Int(number)].count = UInt32(directory.children.count)
      for (name, child) in directory.children.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
        let isNew = places[ObjectIdentifier(child)] == nil
        let place = place(child, parent: number)
        if child.isDirectory {
          nodes[Int(number)].links += 1
          if isNew { waiting.append(child) }
        } else {
          nodes[Int(place)].links += 1
        }
        names.append(cfuse_name(node: place, text: add(name), length: UInt32(name.count)))
      }
    }
  }

  private mutating func add(_ bytes: [UInt8]) -> UInt32 {
    defer { text += bytes }
    return UInt32(text.count)
  }

  private mutating func place(_ node: MergedTree.Node, parent: UInt32) -> UInt32 {
    if let there = places[ObjectIdentifier(node)] { return there }
    let number = UInt32(nodes.count)
    places[ObjectIdentifier(node)] = number
    var made = cfuse_node()
    made.parent = parent
    made.links = node.isDirectory ? 2 : 0
    made.mode = 0o040755
    var bytes = cfuse_contents(layer: UInt32(node.layer), first: UInt32(pieces.count), count: 0, directory: parent)
    if let entry = node.entry {
      // A link has no mode of its own (symlink(7)).
      made.mode = Self.type(entry.kind) | (entry.kind == .symlink ? 0o777 : entry.mode)
      (made.owner, made.group) = (entry.owner, entry.group)
      (made.seconds, made.nanoseconds) = (entry.seconds, UInt32(clamping: entry.nanoseconds))
      (made.major, made.minor) = (entry.major, entry.minor)
      if entry.kind == .symlink {
        (made.target, made.target_length) = (add(entry.link), UInt32(entry.link.count))
        made.size = UInt64(entry.link.count)
      }
      if entry.kind == .file {
        made.size = UInt64(entry.size)
        self.bytes += made.size
        bytes.count = UInt32(entry.pieces.count)
        pieces += entry.pieces.map { cfuse_piece(offset: $0.offset, place: $0.place, count: $0.count) }
        if entry.size >= TreeFile.largest {
          let path = LayerIndex.plain(entry.name)
          large.append(TreeFile.Large(node: number, text: add(path), length: UInt32(path.count)))
        }
      }
      made.attribute = UInt32(attributes.count)
      // An overlay's own marks would let an image rewrite the stack of layers.
      for attribute in entry.attributes where !attribute.name.hasPrefix("trusted.overlay.") && !attribute.name.hasPrefix("user.overlay.") {
        // Only files and directories have attributes of users (xattr(7)): whoever copied another one up could list it, and not read it.
        if attribute.name.hasPrefix("user."), entry.kind != .file, entry.kind != .directory { continue }
        let name = Array(attribute.name.utf8)
        attributes.append(
          cfuse_attribute(
            name: add(name), name_length: UInt32(name.count), value: add(attribute.value), value_length: UInt32(attribute.value.count)))
        made.attribute_count += 1
      }
    }
    nodes.append(made)
    contents.append(bytes)
    return number
  }

  private static func type(_ kind: LayerIndex.Entry.Kind) -> UInt32 {
    switch kind {
    case .file, .hardlink: 0o100000
    case .directory: 0o040000
    case .symlink: 0o120000
    case .character: 0o020000
    case .block: 0o060000
    case .fifo: 0o010000
    }
  }
}
