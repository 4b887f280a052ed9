import CLinux
import ConformanceSuites
import SystemKit

/// The caller's side of `--console-socket`: a socket on which the runtime sends the terminal of a container.
final class ConsoleListener {
  let path: String
  private let listening: OwnedFD

  /// - Parameter directory: is made; sockets have short paths.
  init(in directory: String) throws {
    try Files.makeDirectories(directory, mode: 0o700)
    let path = directory + "/console"
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { throw SuiteError("\(path) is too long for a socket") }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let raw = try check("socket", path) { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0) }
    self.path = path
    listening = OwnedFD(adopting: raw)
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    _ = try check("bind", path) {
      withUnsafePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), size) } }
    }
    _ = try check("listen", path) { listen(raw, 4) }
  }

  /// The terminal that was sent.
  func terminal(within seconds: Double) throws -> Terminal {
    guard Self.readable(listening.raw, within: seconds) else { throw Mismatch(description: "no connection to the console socket came") }
    let raw = try check("accept", path) { accept4(listening.raw, __SOCKADDR_ARG(__sockaddr__: nil), nil, Int32(SOCK_CLOEXEC.rawValue)) }
    let connection = OwnedFD(adopting: raw)
    guard Self.readable(connection.raw, within: seconds) else { throw Mismatch(description: "nothing came on the console socket") }
    guard let descriptor = try Self.receiveDescriptor(connection.raw) else {
      throw Mismatch(description: "what came on the console socket brought no descriptor of a terminal")
    }
    let terminal = Terminal(OwnedFD(adopting: descriptor))
    guard isatty(descriptor) == 1 else { throw Mismatch(description: "the descriptor that came on the console socket is no terminal") }
    return terminal
  }

  static func readable(_ descriptor: Int32, within seconds: Double) -> Bool {
    var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while true {
      let count = poll(&request, 1, Int32(seconds * 1000))
      if count < 0 && clinux_errno() == EINTR { continue }
      return count > 0
    }
  }

  private static let scmRights: Int32 = 1  // SCM_RIGHTS

  private static func receiveDescriptor(_ socket: Int32) throws -> Int32? {
    var text = [UInt8](repeating: 0, count: 4096)
    // A header of 16 bytes (length, level, type), then the descriptor.
    var control = [UInt64](repeating: 0, count: 8)
    return try text.withUnsafeMutableBytes { text in
      try control.withUnsafeMutableBytes { control -> Int32? in
        var part = iovec(iov_base: text.baseAddress, iov_len: text.count)
        return try withUnsafeMutablePointer(to: &part) { part -> Int32? in
          var header = msghdr()
          header.msg_iov = part
          header.msg_iovlen = 1
          header.msg_control = control.baseAddress
          header.msg_controllen = control.count
          _ = try check("recvmsg", "the console socket") { recvmsg(socket, &header, Int32(MSG_CMSG_CLOEXEC)) }
          guard header.msg_controllen >= 20, control.load(fromByteOffset: 8, as: Int32.self) == SOL_SOCKET,
            control.load(fromByteOffset: 12, as: Int32.self) == scmRights
          else { return nil }
          return control.load(fromByteOffset: 16, as: Int32.self)
        }
      }
    }
  }
}

/// The caller's end of a container's terminal.
final class Terminal {
  private let descriptor: OwnedFD
  private(set) var text = ""
  init(_ descriptor: consuming OwnedFD) { self.descriptor = descriptor }

  func type(_ line: String) throws {
    let bytes = Array((line + "\n").utf8)
    let raw = descriptor.raw
    _ = try check("write", "the terminal") { CLinux.write(raw, bytes, bytes.count) }
  }

  /// Reads until the words are there, or the time is over, or the other side is closed.
  func awaitText(_ words: String, within seconds: Double) -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    var chunk = [UInt8](repeating: 0, count: 4096)
    while !text.contains(words), ContinuousClock.now < deadline {
      guard ConsoleListener.readable(descriptor.raw, within: 0.05) else { continue }
      let count = read(descriptor.raw, &chunk, chunk.count)
      if count <= 0 { break }
      text += String(decoding: chunk[..<count], as: UTF8.self)
    }
    return text.contains(words)
  }
}
