import CLinux
import SystemKit

/// One packet of the keeper's socket: a letter, a name, and descriptors. Packets keep their bounds (SOCK_SEQPACKET).
///
///     P name + descriptors   keep these under this name; what had the name is closed     . or !
///     D name                 let go of them                                              . or !
///     L                      everything that is kept: an E for each, then .
///     E name + descriptors   one that is kept
///     .                      done
///     ! text                 not done, and why
struct KeeperPacket {
  enum Kind: UInt8 {
    case put = 0x50
    case drop = 0x44
    case list = 0x4c
    case entry = 0x45
    case done = 0x2e
    case refused = 0x21
  }
  static let longest = 4096

  var kind: Kind
  var text = ""
  /// Numbers only: who receives them owns them.
  var descriptors: [Int32] = []

  func send(to socket: Int32) throws(SystemError) {
    let bytes = [kind.rawValue] + Array(text.utf8.prefix(Self.longest - 1))
    let descriptors = descriptors
    try check("sendmsg", "the keeper's socket") { clinux_send_descriptors(socket, bytes, bytes.count, descriptors, Int32(descriptors.count)) }
  }

  /// nil when the other end has closed. What is no packet of ours is one that is refused: the other end is another program.
  static func receive(from socket: Int32) throws(SystemError) -> KeeperPacket? {
    var bytes = [UInt8](repeating: 0, count: longest)
    var descriptors = [Int32](repeating: -1, count: 8)
    var count: Int32 = 0
    let length = try check("recvmsg", "the keeper's socket") { clinux_receive_descriptors(socket, &bytes, bytes.count, &descriptors, &count) }
    let owned = Array(descriptors.prefix(Int(count)))
    if length == 0 { return nil }
    guard let kind = Kind(rawValue: bytes[0]) else {
      for descriptor in owned { close(descriptor) }
      throw SystemError(errno: EPROTO, operation: "recvmsg", object: "the keeper's socket")
    }
    return KeeperPacket(kind: kind, text: String(decoding: bytes[1..<length], as: UTF8.self), descriptors: owned)
  }
}

enum KeeperSocket {
  static func path(_ root: String) -> String { "\(root)/keeper.sock" }

  /// A way to the socket of any length: an address may have 107 bytes (unix(7)), so its directory is named by a descriptor.
  static func short(_ path: String, in directory: borrowing OwnedFD) -> String { "/proc/self/fd/\(directory.raw)/keeper.sock" }

  static func make() throws(SystemError) -> OwnedFD {
    OwnedFD(adopting: try check("socket", "AF_UNIX") { socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0) })
  }
}
