import CLinux
import ConformanceSuites
import Protocols
import SystemKit

/// Mounts that are performed in another way than the snapshotter said, or a tree that is changed before anybody looks.
struct AlteredTrees: TreeAccess {
  let base: any TreeAccess
  var mounts: @Sendable ([Mount]) -> [Mount] = { $0 }
  var entered: @Sendable (_ root: String) throws -> Void = { _ in }

  func enter(_ given: [Mount], _ body: @escaping @Sendable (any Tree) throws -> Void) async throws {
    let entered = entered
    try await base.enter(mounts(given)) { tree in
      if let root = tree.directory { try entered(root) }
      try body(tree)
    }
  }
}

/// What a fault does to the files of a snapshot, from outside any mount.
enum OnDisk {
  /// The directory that the mounts write into.
  static func upper(_ mounts: [Mount]) -> String? {
    guard let mount = mounts.first else { return nil }
    if mount.type == "bind" { return mount.source }
    return mount.options.first { $0.hasPrefix("upperdir=") }.map { String($0.dropFirst(9)) }
  }

  static func lower(_ mounts: [Mount]) -> [String] {
    mounts.first?.options.first { $0.hasPrefix("lowerdir=") }.map { $0.dropFirst(9).split(separator: ":").map(String.init) } ?? []
  }

  /// Every name below the directory, and the directory itself.
  static func each(_ directory: String, _ body: (_ path: String, stat) throws -> Void) throws {
    let status = try Files.status(directory)
    try body(directory, status)
    // The body may have changed what it was.
    guard try Files.exists(directory) && Files.status(directory).st_mode & 0o170000 == 0o040000 else { return }
    for name in try Files.names(in: directory) { try each("\(directory)/\(name)", body) }
  }

  static func isWhiteout(_ status: stat) -> Bool { status.st_mode & 0o170000 == 0o020000 && status.st_rdev == 0 }
}
