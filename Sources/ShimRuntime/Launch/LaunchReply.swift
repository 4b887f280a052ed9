import ContainerdAPI
import FoundationEssentials
import Protocols
import SwiftProtobuf

/// Where a shim listens and which generation of the task service it speaks.
struct ShimEndpoint: Codable, Hashable, Sendable {
  var version: Int
  /// As the shim wrote it: `unix:///run/…`.
  var address: String
  var `protocol`: String

  init(version: Int = 2, address: String, protocol: String = "ttrpc") {
    self.version = version
    self.address = address
    self.protocol = `protocol`
  }

  var socketPath: String { String(address.dropFirst("unix://".count)) }
  /// The generations differ in the package's name only.
  var service: String { "containerd.task.v\(version).Task" }
}

/// What `<shim> start` prints, in any of the three forms that generations of shims use.
enum LaunchReply {
  static func parse(_ output: [UInt8]) throws(ContainerdError) -> ShimEndpoint {
    let text = String(decoding: output, as: UTF8.self).trimmed
    if text.isEmpty { throw .unavailable("shim start printed no address") }
    let endpoint: ShimEndpoint
    if text.hasPrefix("unix://") || text.hasPrefix("/") {
      endpoint = ShimEndpoint(address: text.hasPrefix("/") ? "unix://" + text : text)
    } else if text.hasPrefix("{") {
      endpoint = try json(text)
    } else if let result = try? Containerd_Runtime_Bootstrap_V1_BootstrapResult(serializedBytes: output), !result.address.isEmpty {
      endpoint = ShimEndpoint(version: Int(result.version), address: result.address, protocol: result.protocol)
    } else {
      throw .unavailable("shim start printed no address but \"\(text.prefix(512))\"")
    }
    return try checked(endpoint)
  }

  private static func json(_ text: String) throws(ContainerdError) -> ShimEndpoint {
    do {
      return try JSONDecoder().decode(ShimEndpoint.self, from: Bytes.data(Array(text.utf8)))
    } catch {
      throw .unavailable("shim start printed JSON without version, address and protocol: \"\(text.prefix(512))\"")
    }
  }

  private static func checked(_ endpoint: ShimEndpoint) throws(ContainerdError) -> ShimEndpoint {
    guard endpoint.protocol == "ttrpc" else {
      throw .notImplemented("shim that speaks \"\(endpoint.protocol)\": only ttrpc")
    }
    guard (2...3).contains(endpoint.version) else { throw .notImplemented("shim of version \(endpoint.version): only 2 and 3") }
    guard endpoint.address.hasPrefix("unix:///"), !endpoint.address.utf8.contains(where: { $0 < 0x20 }) else {
      throw .unavailable("shim address \"\(endpoint.address.prefix(512))\" is not a unix socket")
    }
    return endpoint
  }
}

extension String {
  /// Without white space at either end.
  var trimmed: String {
    guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace }) else { return "" }
    return String(self[first...last])
  }
}
