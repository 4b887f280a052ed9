import CLinux
import Glibc
import Protocols
import SystemKit

/// Whether somebody listens on a socket, with the kernel's own reason if not: a gRPC client only ever says that it is still trying.
enum SocketProbe {
  struct Refusal: Sendable {
    var errno: Int32
    var text: String
  }

  /// nil if somebody listens. Does not wait, not even for one who is too busy to answer.
  static func refusal(_ path: String) throws -> Refusal? {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let capacity = MemoryLayout.size(ofValue: address.sun_path)
    guard path.utf8.count < capacity else { throw ContainerdError.invalidArgument("socket \(path): the path is longer than \(capacity - 1) bytes") }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = OwnedFD(adopting: try check("socket", path) { socket(AF_UNIX, kind, 0) })
    let raw = descriptor.raw
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        CLinux.connect(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    if result == 0 { return nil }
    let failure = SystemError.last("connect", path)
    switch failure.errno {
    // The queue of those who want to connect is full.
    case EAGAIN: return nil
    case ENOENT: return Refusal(errno: failure.errno, text: "there is no such socket")
    case ECONNREFUSED: return Refusal(errno: failure.errno, text: "nobody listens")
    default: return Refusal(errno: failure.errno, text: failure.reason)
    }
  }
}
