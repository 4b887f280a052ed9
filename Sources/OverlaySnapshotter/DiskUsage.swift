import CLinux
import Protocols
import SystemKit

/// What a tree takes on disk: allocated bytes, and inodes, a file with several names counted once.
enum DiskUsage {
  private struct Inode: Hashable {
    let device: UInt64
    let number: UInt64
  }

  static func measure(_ root: String) throws -> SnapshotUsage {
    var seen: Set<Inode> = []
    var usage = SnapshotUsage()
    func count(_ status: stat) {
      guard seen.insert(Inode(device: UInt64(status.st_dev), number: UInt64(status.st_ino))).inserted else { return }
      usage.inodes += 1
      usage.size += Int64(status.st_blocks) * 512
    }
    do throws(SystemError) {
      let parent = try Files.open(Files.parent(of: root), O_RDONLY | O_DIRECTORY)
      let name = root.lastIndex(of: "/").map { String(root[root.index(after: $0)...]) } ?? root
      try TreeWalk.walk(name, at: parent, path: root) { status in
        count(status)
      } visit: { entry throws(SystemError) in
        var status = stat()
        if fstatat(entry.directory, entry.name, &status, AT_SYMLINK_NOFOLLOW) != 0 {
          // Gone since its directory was read: a container may be writing.
          if clinux_errno() == ENOENT { return .leaveOut }
          throw SystemError.last("fstatat", entry.path)
        }
        count(status)
        return status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR) ? .enter : .leaveOut
      } mounted: { _ in
        // Somebody else's tree, mounted into this one: no part of what the snapshot takes.
      }
    } catch { throw ContainerdError(error, "usage of \(root)") }
    return usage
  }
}
