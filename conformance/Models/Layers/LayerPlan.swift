import ConformanceSuites
import Protocols

/// A layer as a value: what it deletes of the layers below, and what it adds.
package struct LayerPlan: Hashable, Sendable, CustomStringConvertible {
  package enum Entry: Hashable, Sendable, CustomStringConvertible {
    case file(String, Int)
    case directory(String)
    case whiteout(String)
    case opaque(String)
    package var description: String {
      switch self {
      case .file(let path, let number): "\(path) (\(number))"
      case .directory(let path): "\(path)/"
      case .whiteout(let path): "whiteout of \(path)"
      case .opaque(let path): "opaque \(path)/"
      }
    }
  }
  /// In the order of the archive.
  package var entries: [Entry] = []
  package var description: String { entries.isEmpty ? "nothing" : entries.map(\.description).joined(separator: ", ") }

  /// The tree that the image specification makes of the layer over another: deletions first, whatever the order of the entries.
  package func applied(to lower: FileTree) -> FileTree {
    var tree = lower
    for entry in entries {
      switch entry {
      case .whiteout(let path): tree.remove(path)
      case .opaque(let path): for below in tree.nodes.keys where below.hasPrefix(path + "/") { tree.nodes[below] = nil }
      default: break
      }
    }
    for entry in entries {
      switch entry {
      case .file(let path, let number):
        tree.remove(path)
        tree.nodes[path] = .file(FileChange.contents(number))
      case .directory(let path):
        if tree.nodes[path] != .directory { tree.remove(path) }
        tree.nodes[path] = .directory
      default: break
      }
    }
    return tree
  }

  package var archive: [UInt8] {
    TarArchive.make { archive in
      for entry in entries {
        switch entry {
        case .file(let path, let number): archive.file(path, String(decoding: FileChange.contents(number), as: UTF8.self))
        case .directory(let path): archive.directory(path)
        case .whiteout(let path): archive.whiteout(path)
        case .opaque(let path): archive.opaque(path)
        }
      }
    }
  }

  private enum Act { case nothing, file, directory, whiteout, replaceByFile, replaceByDirectory, opaque }

  /// A layer that makes sense over the tree. Parents come before children; deletions come anywhere.
  package static func draw(_ attempt: Attempt, over lower: FileTree) -> LayerPlan {
    var plan = LayerPlan()
    var deletions: [Entry] = []
    for path in FileChange.paths.sorted() {
      let parent = FileTree.parent(path)
      let act: Act = attempt.weighted(acts(on: path, in: plan, deletions, over: lower))
      let number = attempt.draw(10)
      guard act != .nothing, plan.withDeletions(deletions).applied(to: lower).isDirectory(parent) else { continue }
      // A deletion below a directory that is itself new would be of nothing.
      let deletable = lower.nodes[path] != nil && !deletions.contains(.whiteout(parent)) && !deletions.contains(.opaque(parent)) && lower.isDirectory(parent)
      switch act {
      case .nothing: break
      case .file: plan.entries.append(.file(path, number))
      case .directory: plan.entries.append(.directory(path))
      case .whiteout: if deletable { deletions.append(.whiteout(path)) }
      case .replaceByFile, .replaceByDirectory:
        if deletable { deletions.append(.whiteout(path)) }
        plan.entries.append(act == .replaceByFile ? .file(path, number) : .directory(path))
      case .opaque:
        plan.entries.append(.directory(path))
        if deletable, lower.nodes[path] == .directory { deletions.append(.opaque(path)) }
      }
    }
    // A deletion may stand anywhere, and often behind everything that it must not delete.
    for deletion in deletions { plan.entries.insert(deletion, at: attempt.chance(40) ? plan.entries.count : attempt.draw(plan.entries.count + 1)) }
    return plan
  }

  /// What may be done, by weight: a directory that is full is often made opaque, and what is made opaque is filled again.
  private static func acts(on path: String, in plan: LayerPlan, _ deletions: [Entry], over lower: FileTree) -> [(Int, Act)] {
    if lower.nodes[path] == .directory, lower.nodes.keys.contains(where: { $0.hasPrefix(path + "/") }) {
      return [(6, .nothing), (1, .file), (3, .directory), (4, .whiteout), (2, .replaceByFile), (2, .replaceByDirectory), (12, .opaque)]
    }
    if deletions.contains(.opaque(FileTree.parent(path))) { return [(5, .nothing), (10, .file), (4, .directory)] }
    return [(10, .nothing), (5, .file), (3, .directory), (4, .whiteout), (2, .replaceByFile), (2, .replaceByDirectory), (1, .opaque)]
  }

  private func withDeletions(_ deletions: [Entry]) -> LayerPlan {
    var plan = self
    plan.entries = deletions + entries
    return plan
  }
}
