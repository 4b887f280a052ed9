import CLinux
import ShimWire
import SystemKit

/// The mounts that make a container's root file system.
enum Rootfs {
  /// All of them or none.
  static func mount(_ mounts: [Mount], on rootfs: String) throws(ServiceError) {
    if mounts.isEmpty { return }
    do throws(SystemError) {
      try Files.makeDirectories(rootfs, mode: 0o711)
      for mount in mounts {
        guard !mount.target.split(separator: "/").contains("..") else {
          throw SystemError(errno: EINVAL, operation: "mount", object: "target \(mount.target) outside of the root file system")
        }
        let target = mount.target.isEmpty ? rootfs : rootfs + "/" + mount.target
        try Mounts.mount(type: mount.type, source: mount.source, target: target, options: mount.options)
      }
    } catch {
      unmount(rootfs)
      throw ServiceError(error.errno == EINVAL ? .invalidArgument : .unknown, "mount the root file system: \(error)")
    }
  }

  /// Every level; what is not mounted is fine.
  static func unmount(_ rootfs: String) {
    var levels = 0
    while levels < 1000, umount2(rootfs, Int32(MNT_DETACH) | Int32(UMOUNT_NOFOLLOW)) == 0 { levels += 1 }
  }
}
