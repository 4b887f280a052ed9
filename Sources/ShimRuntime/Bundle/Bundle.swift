import CLinux
import Protocols
import SystemKit

/// The directory through which the daemon and one container's shim share what must outlive either of them.
///
///     <state>/io.containerd.runtime.v2.task/<ns>/<id>/    0700
///       config.json        the spec, byte for byte
///       rootfs/            where the shim mounts the root file system
///       work               → <root>/io.containerd.runtime.v2.task/<ns>/<id>
///       log                FIFO: the shim writes, the daemon reads
///       shim-binary-path   which program the shim is; written before it is started
///       address            the shim's socket; written before any container is made
///       bootstrap.json     the same with the protocol version, if that is not 2
///       exit.json          how the init ended, once the shim has told
///
/// All methods block.
struct Bundle: Hashable, Sendable {
  let key: TaskKey
  let path: String
  let workPath: String

  /// Throws `invalidArgument` unless both names can be path components.
  init(_ key: TaskKey, configuration: ShimRuntime.Configuration) throws(ContainerdError) {
    try Identifiers.validate(key.namespace, kind: "namespace")
    try Identifiers.validate(key.id, kind: "container id")
    self.key = key
    self.path = "\(configuration.bundles)/\(key.namespace)/\(key.id)"
    self.workPath = "\(configuration.work)/\(key.namespace)/\(key.id)"
  }

  var rootfs: String { path + "/rootfs" }
  var log: String { path + "/log" }

  /// Makes the whole directory, or nothing. `alreadyExists` if there is one.
  func make(spec: [UInt8]) throws {
    try Files.makeDirectories(Files.parent(of: path), mode: 0o711)
    try Files.makeDirectories(Files.parent(of: workPath), mode: 0o711)
    if mkdir(path, 0o700) != 0 {
      if clinux_errno() == EEXIST { throw ContainerdError.alreadyExists("bundle \(path)") }
      throw SystemError.last("mkdir", path)
    }
    do {
      try Files.makeDirectories(workPath, mode: 0o711)
      try check("symlink", path + "/work") { symlink(workPath, path + "/work") }
      try check("mkdir", rootfs) { mkdir(rootfs, 0o711) }
      // A umask must not take the permission that a user-namespaced init needs to walk through.
      try check("chmod", rootfs) { chmod(rootfs, 0o711) }
      try check("mkfifo", log) { mkfifo(log, 0o600) }
      try Files.writeAtomically(spec, to: path + "/config.json")
      if let group = MappedGroup.ofRoot(inSpec: spec) {
        try check("chown", path) { chown(path, uid_t.max, group) }
        try check("chmod", path) { chmod(path, 0o710) }
      }
    } catch {
      do { try remove() } catch let second { throw ContainerdError.internalError("\(error); and the bundle stays: \(second)") }
      throw error
    }
  }

  /// Takes the bundle and its work directory away, unmounting what a dead shim left at `rootfs`. What is absent is fine.
  ///
  /// The bundle is renamed first, so that a removal cut short never leaves half a bundle that looks like a container.
  func remove() throws(SystemError) {
    try unmountRootfs()
    let trash = "\(Files.parent(of: path))/.\(key.id)"
    try Files.removeTree(trash)
    if rename(path, trash) != 0 && clinux_errno() != ENOENT { throw SystemError.last("rename", path) }
    try Files.removeTree(trash)
    try Files.removeTree(workPath)
  }

  private func unmountRootfs() throws(SystemError) {
    // Several mounts may be stacked there. EINVAL: none is left.
    while umount2(rootfs, Int32(MNT_DETACH) | Int32(UMOUNT_NOFOLLOW)) == 0 {}
    let error = clinux_errno()
    // EPERM: without the right to unmount nothing of ours can be mounted there either.
    if ![EINVAL, ENOENT, EPERM].contains(error) { throw SystemError(errno: error, operation: "umount", object: rootfs) }
  }
}
