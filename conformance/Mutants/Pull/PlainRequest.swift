import BlockingIO
import CLinux
import Glibc
import SystemKit

/// One request of HTTP/1.1 to a port of this machine: for clients that ask what they should not.
enum PlainRequest {
  struct Reply: Sendable {
    /// Names in lower case.
    var headers: [String: String]
    var body: [UInt8]
  }

  /// - Parameter url: `http://HOST:PORT/path`; whatever the host is called, it is this machine.
  static func get(_ url: String, headers: [(String, String)] = []) async throws -> Reply {
    let rest = url.dropFirst("http://".count)
    let host = rest.prefix { $0 != "/" }
    let target = rest[host.endIndex...]
    let port = UInt16(host.split(separator: ":").last ?? "") ?? 80
    var text = "GET \(target.isEmpty ? "/" : target) HTTP/1.1\r\nHost: \(host)\r\n"
    for (name, value) in headers { text += "\(name): \(value)\r\n" }
    let request = Array((text + "\r\n").utf8)
    return try await DedicatedThread.run { try exchange(request, port: port) }
  }

  private static func exchange(_ request: [UInt8], port: UInt16) throws -> Reply {
    let what = "127.0.0.1:\(port)"
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    if descriptor < 0 { throw SystemError.last("socket", what) }
    let owned = OwnedFD(adopting: descriptor)
    let raw = owned.raw
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    try check("connect", what) {
      withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          CLinux.connect(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
    try request.withUnsafeBytes { try Files.writeAll($0, to: owned, path: what) }
    var received: [UInt8] = []
    while true {
      if let reply = whole(received) { return reply }
      var piece = [UInt8](repeating: 0, count: 1 << 16)
      let count = recv(raw, &piece, piece.count, 0)
      if count < 0 { throw SystemError.last("recv", what) }
      if count == 0 { return Reply(headers: [:], body: []) }
      received += piece.prefix(count)
    }
  }

  /// The reply, once all of it is there.
  private static func whole(_ bytes: [UInt8]) -> Reply? {
    guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: [13, 10, 13, 10]) }) else { return nil }
    var headers: [String: String] = [:]
    for line in String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n").dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 { headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " }) }
    }
    let body = bytes[(end + 4)...]
    let length = Int(headers["content-length"] ?? "") ?? 0
    return body.count >= length ? Reply(headers: headers, body: Array(body.prefix(length))) : nil
  }
}
