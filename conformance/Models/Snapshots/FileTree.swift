import ConformanceSuites
import Protocols

/// Files as a value: what a mounted tree must hold.
package struct FileTree: Hashable, Sendable, CustomStringConvertible {
  package enum Node: Hashable, Sendable {
    case file([UInt8])
    case directory
  }
  /// By paths relative to the root; the root itself is not in it.
  package var nodes: [String: Node] = [:]
  package init() {}

  package var description: String {
    nodes.isEmpty
      ? "no files"
      : nodes.sorted { $0.key < $1.key }.map { path, node in
        if case .file(let bytes) = node { "\(path) (\(String(decoding: bytes.prefix(20), as: UTF8.self)))" } else { "\(path)/" }
      }.joined(separator: " ")
  }

  package func isDirectory(_ path: String) -> Bool { path.isEmpty || nodes[path] == .directory }
  package static func parent(_ path: String) -> String { path.split(separator: "/").dropLast().joined(separator: "/") }

  /// Removes a file or a whole directory.
  package mutating func remove(_ path: String) {
    nodes[path] = nil
    for below in nodes.keys where below.hasPrefix(path + "/") { nodes[below] = nil }
  }

  package mutating func apply(_ change: FileChange) {
    switch change {
    case .write(let path, let number): nodes[path] = .file(FileChange.contents(number))
    case .makeDirectory(let path): nodes[path] = .directory
    case .remove(let path): remove(path)
    case .rename(let old, let new):
      nodes[new] = nodes[old]
      nodes[old] = nil
    }
  }

  /// Everything in a real tree. Symbolic links are not told from what they point at: the models make none.
  package static func read(_ tree: any Tree) throws -> FileTree {
    var found = FileTree()
    var pending = [""]
    while let directory = pending.popLast() {
      for name in try tree.names(directory) {
        let path = directory.isEmpty ? name : "\(directory)/\(name)"
        if (try? tree.names(path)) != nil {  // what has names in it is a directory; a file refuses the question
          found.nodes[path] = .directory
          pending.append(path)
        } else {
          found.nodes[path] = .file(try tree.read(path) ?? [])
        }
      }
    }
    return found
  }
}

/// One change to files.
package enum FileChange: Hashable, Sendable, CustomStringConvertible {
  case write(String, Int)
  case makeDirectory(String)
  case remove(String)
  case rename(String, String)

  package static func contents(_ number: Int) -> [UInt8] { Array("contents \(number)".utf8) }

  package var description: String {
    switch self {
    case .write(let path, let number): "write \(number) to \(path)"
    case .makeDirectory(let path): "mkdir \(path)"
    case .remove(let path): "rm -r \(path)"
    case .rename(let old, let new): "mv \(old) \(new)"
    }
  }
  package var command: String {
    switch self {
    case .write(let path, let number): "printf 'contents \(number)' > \(path)"
    default: description
    }
  }

  package func perform(_ tree: any Tree) throws {
    switch self {
    case .write(let path, let number): try tree.write(path, Self.contents(number))
    case .makeDirectory(let path): try tree.makeDirectory(path)
    case .remove(let path): try tree.remove(path)
    case .rename(let old, let new): try tree.rename(old, new)
    }
  }

  static let paths = ["a", "b", "d", "e", "d/a", "d/b", "d/d", "e/a", "e/e", "d/d/a"]

  /// A change that the tree allows.
  package static func draw(_ attempt: Attempt, _ tree: FileTree) -> FileChange {
    let path = attempt.one(of: paths)
    let kind = attempt.draw(10)
    let number = attempt.draw(10)
    let free = tree.isDirectory(FileTree.parent(path))
    switch tree.nodes[path] {
    case .directory: return .remove(path)
    case .file where kind >= 5: return .remove(path)
    case .file where kind == 4:
      let other = attempt.one(of: paths)
      if tree.nodes[other] == nil, tree.isDirectory(FileTree.parent(other)) { return .rename(path, other) }
      return .write(path, number)
    case .file: return .write(path, number)
    case nil:
      if !free { return tree.nodes["a"] == .directory ? .remove("a") : .write("a", number) }
      return kind >= 6 || ["d", "e"].contains(path) ? .makeDirectory(path) : .write(path, number)
    }
  }
}
