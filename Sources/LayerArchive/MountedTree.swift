import CLinux
import Protocols
import SystemKit

/// A tree assembled from mounts, seen by the calling thread alone.
///
/// The thread gets a mount namespace of its own: nobody else sees the mounts, and they are gone with the thread, even if the process is
/// killed. That is why the mount point may be one fixed, empty directory for all.
enum MountedTree {
  static func enter(_ mounts: [Mount], at point: String) throws(SystemError) -> OwnedFD {
    try check("unshare", "mount namespace") { unshare(CLONE_NEWNS) }
    try check("mount", "/ as private") { CLinux.mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
    return try assemble(mounts, at: point)
  }

  /// Performs the mounts in order; the caller's namespace must be its own.
  static func assemble(_ mounts: [Mount], at point: String) throws(SystemError) -> OwnedFD {
    for mount in mounts {
      let target = mount.target.isEmpty ? point : point + "/" + mount.target
      try Mounts.mount(type: mount.type, source: mount.source, target: target, options: mount.options)
    }
    return try Files.open(point, O_RDONLY | O_DIRECTORY)
  }
}
