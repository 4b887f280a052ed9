import CLinux
import ContainerdAPI
import Glibc
import Protocols
import SwiftProtobuf
import Synchronization
import SystemKit

/// One message of ttrpc: a header of ten bytes, big-endian, and its data.
package struct TTRPCMessage: Sendable {
  package static let request: UInt8 = 1
  package static let response: UInt8 = 2

  package var stream: UInt32
  package var kind: UInt8
  package var data: [UInt8]

  var header: [UInt8] { Self.header(length: UInt32(data.count), stream: stream, kind: kind) }
  static func header(length: UInt32, stream: UInt32, kind: UInt8) -> [UInt8] { bigEndian(length) + bigEndian(stream) + [kind, 0] }
  private static func bigEndian(_ number: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * UInt32($0))) } }
}

/// A connected unix socket that speaks ttrpc messages. Reading and writing block; `hangUp` ends both.
final class TTRPCSocket: Sendable {
  private let descriptor: OwnedFD
  private let writing = Mutex(())

  init(adopting descriptor: consuming OwnedFD) { self.descriptor = descriptor }

  convenience init(connecting path: String) throws { self.init(adopting: try UnixSocket.connected(to: path)) }

  func send(_ message: TTRPCMessage) throws { try send(message.header + message.data) }

  func send(_ bytes: [UInt8]) throws {
    try writing.withLock { _ in
      var done = 0
      while done < bytes.count {
        // Who has hung up must not end this program with a signal.
        done += try check("send", "ttrpc socket") {
          bytes.withUnsafeBytes { CLinux.send(descriptor.raw, $0.baseAddress.map { $0 + done }, $0.count - done, Int32(MSG_NOSIGNAL)) }
        }
      }
    }
  }

  /// nil when the other side has hung up.
  func receive() throws -> TTRPCMessage? {
    guard let header = try take(10) else { return nil }
    func number(_ at: Int) -> UInt32 { header[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    guard let data = try take(Int(number(0))) else { return nil }
    return TTRPCMessage(stream: number(4), kind: header[8], data: data)
  }

  private func take(_ count: Int) throws -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let got = try check("recv", "ttrpc socket") {
        bytes.withUnsafeMutableBytes { recv(descriptor.raw, $0.baseAddress.map { $0 + done }, $0.count - done, 0) }
      }
      if got == 0 { return nil }
      done += got
    }
    return bytes
  }

  func hangUp() { shutdown(descriptor.raw, Int32(SHUT_RDWR)) }
}

/// Stream sockets with a path.
enum UnixSocket {
  static func connected(to path: String) throws -> OwnedFD { try made(path, "connect") { CLinux.connect($0, $1, $2) } }

  static func listening(at path: String) throws -> OwnedFD {
    let made = try made(path, "bind") { bind($0, $1, $2) }
    let raw = made.raw
    try check("listen", path) { listen(raw, 16) }
    return made
  }

  private static func made(_ path: String, _ operation: String, _ call: (Int32, __CONST_SOCKADDR_ARG, socklen_t) -> Int32) throws -> OwnedFD {
    let made = OwnedFD(adopting: try check("socket", path) { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0) })
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw SystemError(errno: ENAMETOOLONG, operation: operation, object: path)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let raw = made.raw
    try check(operation, path) {
      withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          call(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
    }
    return made
  }
}

/// The numbers of `google.rpc.Status` as containerd's error classes.
enum TTRPCCode {
  private static let classes: [ContainerdError.Code] = [
    .unknown, .canceled, .unknown, .invalidArgument, .deadlineExceeded, .notFound, .alreadyExists, .permissionDenied, .resourceExhausted,
    .failedPrecondition, .aborted, .outOfRange, .notImplemented, .internalError, .unavailable, .dataLoss, .unauthenticated,
  ]
  static func error(_ status: Google_Rpc_Status) -> ContainerdError {
    ContainerdError(classes.indices.contains(Int(status.code)) ? classes[Int(status.code)] : .unknown, status.message)
  }
}
