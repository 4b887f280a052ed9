/// An absolute `http` or `https` URL, taken apart as strictly as redirects and realms deserve: a stranger wrote them.
///
/// No other scheme (`http+unix` would lead into this machine's sockets), no user information (`http://127.0.0.1@elsewhere` is elsewhere),
/// no space and no control character.
struct WebAddress: Hashable, Sendable, CustomStringConvertible {
  enum Scheme: String, Sendable { case http, https }

  /// Who answers: what credentials are for.
  struct Origin: Hashable, Sendable, CustomStringConvertible {
    var scheme: Scheme
    /// Lower-case; an IPv6 address has its brackets.
    var host: String
    var port: UInt16
    var description: String { "\(scheme.rawValue)://\(host):\(port)" }
  }

  var origin: Origin
  /// Path and query, beginning with `/`.
  var target: String

  init?(_ text: String) {
    guard let mark = text.firstRange(of: "://"), let scheme = Scheme(rawValue: text[..<mark.lowerBound].lowercased()) else { return nil }
    guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != 0x5c }) else { return nil }
    let rest = text[mark.upperBound...].prefix { $0 != "#" }
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    let target = rest[authority.endIndex...]
    guard let (host, port) = Self.split(authority.lowercased()) else { return nil }
    self.origin = Origin(scheme: scheme, host: host, port: port ?? (scheme == .http ? 80 : 443))
    self.target = target.hasPrefix("/") ? String(target) : "/" + target
  }

  private static func split(_ authority: String) -> (String, UInt16?)? {
    var end = authority.startIndex
    if authority.hasPrefix("[") {
      guard let bracket = authority.firstIndex(of: "]") else { return nil }
      end = authority.index(after: bracket)
    } else {
      end = authority.firstIndex(of: ":") ?? authority.endIndex
    }
    let (host, port) = (authority[..<end], authority[end...])
    guard !host.isEmpty, !authority.contains("@") else { return nil }
    if port.isEmpty || port == ":" { return (String(host), nil) }
    guard port.hasPrefix(":"), let number = UInt16(port.dropFirst()) else { return nil }
    return (String(host), number)
  }

  /// Where `Location` points, seen from here.
  func resolving(_ location: String) -> WebAddress? {
    if location.contains("://") { return WebAddress(location) }
    if location.hasPrefix("//") { return WebAddress("\(origin.scheme.rawValue):\(location)") }
    if location.hasPrefix("/") { return WebAddress(base + location) }
    let path = target.prefix { $0 != "?" }
    return WebAddress(base + path[...(path.lastIndex(of: "/") ?? path.startIndex)] + location)
  }

  func adding(query: [(String, String)]) -> WebAddress {
    var address = self
    for (name, value) in query { address.target += (address.target.contains("?") ? "&" : "?") + "\(name)=\(Self.escape(value))" }
    return address
  }

  var isLoopback: Bool {
    let host = origin.host
    if host == "localhost" || host == "[::1]" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
  }

  /// Host and port as an image's name has them.
  var registry: String { origin.port == (origin.scheme == .http ? 80 : 443) ? origin.host : "\(origin.host):\(origin.port)" }

  private var base: String { "\(origin.scheme.rawValue)://\(registry)" }
  var description: String { base + target }

  static func escape(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: result.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let hex = String(byte, radix: 16, uppercase: true)
        result += "%" + (hex.count == 1 ? "0" : "") + hex
      }
    }
    return result
  }
}
