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
    let style = attempt.weighted([(2, Style.mixed), (4, .refilling), (3, .deleting)])
    for path in FileChange.paths.sorted() {
      let parent = FileTree.parent(path)
      let act: Act = attempt.weighted(acts(style, path, deletions, over: lower))
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
    for deletion in deletions { plan.entries.insert(deletion, at: attempt.chance(60) ? plan.entries.count : attempt.draw(plan.entries.count + 1)) }
    return plan
  }

  /// Layers of one style make all the time what others seldom make.
  private enum Style { case mixed, refilling, deleting }

  /// What may be done to a path, by weight.
  private static func acts(_ style: Style, _ path: String, _ deletions: [Entry], over lower: FileTree) -> [(Int, Act)] {
    switch style {
    case .mixed: return [(10, .nothing), (5, .file), (3, .directory), (4, .whiteout), (2, .replaceByFile), (2, .replaceByDirectory), (3, .opaque)]
    case .refilling:
      // Directories are made; full ones are made opaque, and filled again.
      if deletions.contains(.opaque(FileTree.parent(path))) { return [(4, .nothing), (12, .file), (4, .directory)] }
      if lower.nodes[path] == .directory, lower.nodes.keys.contains(where: { $0.hasPrefix(path + "/") }) {
        return [(4, .nothing), (1, .file), (2, .directory), (2, .whiteout), (1, .replaceByFile), (1, .replaceByDirectory), (14, .opaque)]
      }
      if ["d", "e"].contains(path) { return [(3, .nothing), (1, .file), (14, .directory)] }
      return [(5, .nothing), (10, .file), (3, .directory), (3, .whiteout), (1, .replaceByFile), (1, .replaceByDirectory)]
    case .deleting:
      if lower.nodes[path] != nil { return [(4, .nothing), (2, .file), (10, .whiteout), (1, .replaceByFile), (1, .replaceByDirectory)] }
      return [(4, .nothing), (8, .file), (5, .directory)]
    }
  }

  private func withDeletions(_ deletions: [Entry]) -> LayerPlan {
    var plan = self
    plan.entries = deletions + entries
    return plan
  }
}
