import ConformanceSuites
import ConformanceSystemSuites
import Protocols

/// A layer as a value: what it deletes of the layers below, and what it adds.
package struct LayerPlan: Hashable, Sendable, CustomStringConvertible {
  package struct Entry: Hashable, Sendable, CustomStringConvertible {
    package enum Form: Hashable, Sendable {
      case file(Int)
      case directory
      case link(String)
      /// Another name of what is there under this one.
      case hardLink(String)
      case fifo
      case character(Int, Int)
      case block(Int, Int)
      case whiteout
      case opaque
    }
    package var path: String
    package var form: Form
    package var attributes = EntryAttributes(mode: 0o644)

    package static func file(_ path: String, _ number: Int) -> Entry { Entry(path: path, form: .file(number)) }
    package static func directory(_ path: String) -> Entry { Entry(path: path, form: .directory, attributes: EntryAttributes(mode: 0o755)) }
    package static func whiteout(_ path: String) -> Entry { Entry(path: path, form: .whiteout) }
    package static func opaque(_ path: String) -> Entry { Entry(path: path, form: .opaque) }

    package var isDeletion: Bool { form == .whiteout || form == .opaque }

    package var description: String {
      // A long name is known by its beginning.
      let name = path.utf8.count > 40 ? "\(path.prefix(20))… (\(path.utf8.count) bytes)" : path
      let words = attributes.description
      let more = words.isEmpty ? "" : " [\(words)]"
      return switch form {
      case .file(let number): "\(name) (\(number))\(more)"
      case .directory: "\(name)/\(more)"
      case .link(let target): "\(name) -> \(target.prefix(20))\(more)"
      case .hardLink(let existing): "\(name) = \(existing.prefix(20))"
      case .fifo: "\(name)|\(more)"
      case .character(let major, let minor): "\(name) c\(major):\(minor)\(more)"
      case .block(let major, let minor): "\(name) b\(major):\(minor)\(more)"
      case .whiteout: "whiteout of \(name)"
      case .opaque: "opaque \(name)/"
      }
    }
  }
  /// In the order of the archive.
  package var entries: [Entry] = []
  package var description: String { entries.isEmpty ? "nothing" : entries.map(\.description).joined(separator: ", ") }

  /// The tree that the image specification makes of the layer over another: deletions first, whatever the order of the entries.
  package func applied(to lower: LayerTree) -> LayerTree {
    var tree = lower
    var touched: Set<String> = []
    var told: Set<String> = []
    for entry in entries where entry.isDeletion {
      if entry.form == .whiteout {
        tree.remove(entry.path)
        touched.insert(LayerTree.parent(entry.path))
      } else {
        tree.empty(entry.path)
        touched.insert(entry.path)
      }
    }
    for entry in entries {
      let path = entry.path
      // Whatever comes into a directory changes its time, and so does a parent that is made by the way.
      var above = LayerTree.parent(path)
      if !entry.isDeletion, entry.form != .directory || !tree.isDirectory(path) {
        touched.insert(above)
        while !above.isEmpty, tree[above] == nil {
          above = LayerTree.parent(above)
          touched.insert(above)
        }
      }
      switch entry.form {
      case .file(let number): tree.put(path, .init(kind: .file(FileChange.contents(number)), attributes: entry.attributes))
      case .directory:
        tree.putDirectory(path, entry.attributes)
        told.insert(path)
      case .link(let target): tree.put(path, .init(kind: .link(target), attributes: entry.attributes))
      case .hardLink(let existing): tree.link(path, to: existing)
      case .fifo: tree.put(path, .init(kind: .fifo, attributes: entry.attributes))
      case .character(let major, let minor): tree.put(path, .init(kind: .character(major, minor), attributes: entry.attributes))
      case .block(let major, let minor): tree.put(path, .init(kind: .block(major, minor), attributes: entry.attributes))
      case .whiteout, .opaque: break
      }
    }
    for directory in touched.subtracting(told) { tree.touch(directory) }
    return tree
  }

  package var archive: [UInt8] { TarRecord.archive(entries.flatMap(\.records)) }
}

extension LayerPlan.Entry {
  /// The entry as records: what the first form of tar cannot say stands in an extended header before it.
  fileprivate var records: [TarRecord] {
    var record = TarRecord(path)
    switch form {
    case .file(let number): record.contents = FileChange.contents(number)
    case .directory: (record.type, record.name) = ("5", path + "/")
    case .link(let target): (record.type, record.link) = ("2", target)
    case .hardLink(let existing): (record.type, record.link) = ("1", existing)
    case .fifo: record.type = "6"
    case .character(let major, let minor): (record.type, record.device) = ("3", (major, minor))
    case .block(let major, let minor): (record.type, record.device) = ("4", (major, minor))
    case .whiteout:
      let parts = path.split(separator: "/")
      record.name = (parts.dropLast() + [".wh." + (parts.last ?? "")]).joined(separator: "/")
    case .opaque: record.name = "\(path)/.wh..wh..opq"
    }
    (record.mode, record.owner, record.group) = (attributes.mode, attributes.owner, attributes.group)
    var extended: [(String, [UInt8])] = []
    func say(_ key: String, _ value: String) { extended.append((key, Array(value.utf8))) }
    if record.name.utf8.count > 100 { say("path", record.name) }
    if record.link.utf8.count > 100 { say("linkpath", record.link) }
    if record.owner >= 1 << 21 { say("uid", "\(record.owner)") }
    if record.group >= 1 << 21 { say("gid", "\(record.group)") }
    if let modified = attributes.modified {
      record.modified = modified.seconds
      if modified.nanoseconds != 0 { say("mtime", modified.description) }
    }
    for (name, value) in attributes.extended.sorted(by: { $0.key < $1.key }) { extended.append(("SCHILY.xattr." + name, value)) }
    return extended.isEmpty ? [record] : [.extended(extended), record]
  }
}
