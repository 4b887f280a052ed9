import BlockingIO
import CLinux
import ContainerSpec
import Protocols
import SystemKit

/// Reading the few files of a container's root that decide who runs in it.
///
/// The root is somebody else's: every link is kept inside it by the kernel, only regular files of a sane size are read, and opening never waits.
enum RootFiles {
  private static let limit = 1 << 20

  /// From the mounts of a snapshot, performed in a mount namespace of a thread's own: nobody else sees them, and they go with the thread.
  static func users(in mounts: [Mount]) async throws -> UserDatabase {
    try await DedicatedThread.run {
      try check("unshare", "mount namespace") { unshare(CLONE_NEWNS) }
      try check("mount", "/ as private") { mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
      // Any directory does that no mount has its source in: it is hidden from this thread only.
      let point = "/sys"
      for mount in mounts {
        let target = mount.target.isEmpty ? point : point + "/" + mount.target
        // Looking changes nothing: not even an access time.
        try Mounts.mount(type: mount.type, source: mount.source, target: target, options: readOnly(mount.options))
      }
      return try users(below: Files.open(point, O_RDONLY | O_DIRECTORY))
    }
  }

  /// As a running process sees them.
  static func users(of pid: UInt32) async throws -> UserDatabase {
    try await DedicatedThread.run { try users(below: Files.open("/proc/\(pid)/root", O_RDONLY | O_DIRECTORY)) }
  }

  private static func readOnly(_ options: [String]) -> [String] { options.filter { $0 != "rw" && $0 != "ro" } + ["ro"] }

  private static func users(below root: borrowing OwnedFD) throws -> UserDatabase {
    UserDatabase(passwd: try text("etc/passwd", below: root), group: try text("etc/group", below: root))
  }

  /// Nil if there is no such file.
  private static func text(_ path: String, below root: borrowing OwnedFD) throws -> String? {
    let raw = root.raw
    let flags = UInt64(O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    let opened = clinux_openat2(raw, path, flags, 0, UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS))
    if opened < 0 {
      if clinux_errno() == ENOENT || clinux_errno() == ENOTDIR { return nil }
      throw ContainerdError.failedPrecondition("the image's /\(path) cannot be read: \(SystemError.last("open", path).reason)")
    }
    let file = OwnedFD(adopting: opened)
    var info = stat()
    try check("fstat", path) { fstat(opened, &info) }
    guard info.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG) else {
      throw ContainerdError.failedPrecondition("the image's /\(path) is not a regular file")
    }
    return String(decoding: try Files.readAll(file, path: "the image's /\(path)", limit: limit), as: UTF8.self)
  }
}
