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
    var pending = [root]
    while let path = pending.popLast() {
      var status = stat()
      if lstat(path, &status) != 0 {
        // Gone since its directory was read: a container may be writing.
        if clinux_errno() == ENOENT { continue }
        throw ContainerdError(SystemError.last("lstat", path), "usage of \(root)")
      }
      if seen.insert(Inode(device: UInt64(status.st_dev), number: UInt64(status.st_ino))).inserted {
        usage.inodes += 1
        usage.size += Int64(status.st_blocks) * 512
      }
      if status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR) {
        do throws(SystemError) {
          for name in try Files.names(in: path) { pending.append("\(path)/\(name)") }
        } catch  where error.errno == ENOENT { continue } catch { throw ContainerdError(error, "usage of \(root)") }
      }
    }
    return usage
  }
}
