import CLinux
import SystemKit

/// The socket file of a shim that was killed: nothing else would ever remove it.
enum StaleSocket {
  /// Removes the file if it is a socket that nobody listens on. Shims of one group share a socket, and another may have taken
  /// the place meanwhile: then it stays. Blocking.
  static func remove(_ path: String) throws(SystemError) {
    var info = stat()
    guard lstat(path, &info) == 0, info.st_mode & mode_t(S_IFMT) == mode_t(S_IFSOCK) else { return }
    var address = sockaddr_un()
    guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = OwnedFD(adopting: try check("socket", path) { socket(AF_UNIX, flags, 0) })
    let raw = descriptor.raw
    let result = withUnsafePointer(to: &address) {
      // glibc declares the parameter as a union of all address types when _GNU_SOURCE is on.
      connect(raw, __CONST_SOCKADDR_ARG(__sockaddr_un__: $0), socklen_t(MemoryLayout<sockaddr_un>.size))
    }
    if result != 0 && clinux_errno() == ECONNREFUSED && unlink(path) != 0 && clinux_errno() != ENOENT {
      throw SystemError.last("unlink", path)
    }
  }
}
