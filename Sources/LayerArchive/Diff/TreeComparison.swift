import CArchive
import CLinux
import Protocols
import SystemKit

/// Walks both trees in step and writes what differs: new and changed entries, and whiteouts for what is gone.
///
/// A directory's entries come in byte order, before what is in its subdirectories. Files with several names come last, group by group: a
/// group is written whole as soon as one of its names is new or changed, since an applier can only link to what it has.
final class TreeComparison {
  private struct Inode: Hashable {
    let device: UInt64
    let number: UInt64
    init(_ status: stat) { (device, number) = (UInt64(status.st_dev), UInt64(status.st_ino)) }
  }

  /// The names of one file above.
  private struct Group {
    var paths: [EntryPath] = []
    var changed = false
    /// What the names were below: the same group has one.
    var before: Set<Inode?> = []
  }

  private let trees: DiffTrees
  private let archive: TarWriter
  private var groups: [Inode: Group] = [:]

  init(trees: DiffTrees, archive: TarWriter) {
    self.trees = trees
    self.archive = archive
  }

  func run() throws {
    var pending: [(path: EntryPath, wasThere: Bool)] = [(.root, trees.lower != nil)]
    try compareRoot()
    while let (path, wasThere) = pending.popLast() {
      let above = try TreeDirectory(trees.upper, path)
      let below = wasThere ? try trees.lower.map { try TreeDirectory($0, path) } : nil
      pending += try compare(path, above, below).reversed()
    }
    try writeGroups()
  }

  private func compareRoot() throws {
    let above = try TreeDirectory(trees.upper, .root)
    if let below = try trees.lower.map({ try TreeDirectory($0, .root) }), try above.isSame(EntryPath.root.cString, as: below) { return }
    try archive.entry(.root, EntryPath.root.cString, in: above, above.status(EntryPath.root.cString))
  }

  /// Compares the contents of one directory; returns the directories in it.
  private func compare(_ path: EntryPath, _ above: TreeDirectory, _ below: TreeDirectory?) throws -> [(path: EntryPath, wasThere: Bool)] {
    var directories: [(path: EntryPath, wasThere: Bool)] = []
    let names = try above.names()
    let before = try below.map { Set(try $0.names()) } ?? []
    for gone in before.subtracting(names).sorted(by: TreeDirectory.order) { try archive.whiteout(path.appending(".wh.".utf8 + TreeDirectory.bytes(gone))) }
    for name in names {
      let child = path.appending(TreeDirectory.bytes(name))
      if child.whiteoutName != nil { throw ContainerdError.failedPrecondition("\(child.text): a layer cannot hold a name that begins with .wh.") }
      let status = try above.status(name)
      let old = before.contains(name) ? below : nil
      let changed = try !(old.map { try above.isSame(name, as: $0) } ?? false)
      if status.isDirectory {
        directories.append((child, try old?.status(name).isDirectory ?? false))
      } else if status.st_nlink > 1 {
        var group = groups[Inode(status)] ?? Group()
        group.paths.append(child)
        group.changed = group.changed || changed
        group.before.insert(try old.map { Inode(try $0.status(name)) })
        groups[Inode(status)] = group
        continue
      }
      if changed { try archive.entry(child, name, in: above, status) }
    }
    return directories
  }

  private func writeGroups() throws {
    let changed = groups.values.filter { $0.changed || $0.before.count > 1 }
    for group in changed.sorted(by: { $0.paths[0].bytes.lexicographicallyPrecedes($1.paths[0].bytes) }) {
      let first = group.paths[0]
      let directory = try TreeDirectory(trees.upper, first.parent)
      let status = try directory.status(first.name)
      try archive.entry(first, first.name, in: directory, status)
      for path in group.paths.dropFirst() { try archive.hardLink(path, to: first, status) }
    }
  }
}
