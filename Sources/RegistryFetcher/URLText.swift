/// The little of URLs that redirects and realms need.
enum URLText {
  /// `scheme://host:port`
  static func origin(_ url: String) -> String {
    guard let scheme = url.range(of: "://") else { return url }
    let end = url[scheme.upperBound...].firstIndex { "/?#".contains($0) } ?? url.endIndex
    return url[..<end].lowercased()
  }

  static func resolve(_ location: String, against base: String) -> String {
    if location.contains("://") { return location }
    if location.hasPrefix("//") { return (base.hasPrefix("https") ? "https:" : "http:") + location }
    if location.hasPrefix("/") { return origin(base) + location }
    let path = base.prefix { $0 != "?" }
    return String(path[...(path.lastIndex(of: "/") ?? path.startIndex)]) + location
  }

  static func isLoopback(_ url: String) -> Bool {
    let authority = origin(url).split(separator: "/", omittingEmptySubsequences: true).last.map(String.init) ?? ""
    if authority.hasPrefix("[::1]") { return true }
    let host = authority.split(separator: ":").first.map(String.init) ?? ""
    if host == "localhost" { return true }
    let parts = host.split(separator: ".")
    return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
  }

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

extension String {
  fileprivate func range(of needle: String) -> Range<String.Index>? { self.firstRange(of: needle) }
}
