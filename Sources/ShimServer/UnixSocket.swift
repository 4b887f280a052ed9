import CLinux
import SystemKit

/// Stream sockets with a path.
enum UnixSocket {
  /// With the final zero byte.
  static let longestPath = 107

  private static func withAddress<T>(_ path: String, _ body: (__CONST_SOCKADDR_ARG, socklen_t) -> T) throws(SystemError) -> T {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count <= longestPath, !bytes.contains(0) else { throw SystemError(errno: ENAMETOOLONG, operation: "socket", object: path) }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body(__CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }

  private static func make() throws(SystemError) -> OwnedFD {
    OwnedFD(
      adopting: try check("socket", "unix") { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0) })
  }

  static func connect(_ path: String) throws(SystemError) -> OwnedFD {
    let fd = try make()
    let raw = fd.raw
    if try withAddress(path, { CLinux.connect(raw, $0, $1) }) != 0 { throw SystemError.last("connect", path) }
    return fd
  }

  static func listen(_ path: String) throws(SystemError) -> OwnedFD {
    let fd = try make()
    let raw = fd.raw
    if try withAddress(path, { bind(raw, $0, $1) }) != 0 { throw SystemError.last("bind", path) }
    chmod(path, 0o600)
    try check("listen", path) { CLinux.listen(raw, 128) }
    return fd
  }
}
