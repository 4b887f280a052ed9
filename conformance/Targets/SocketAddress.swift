import ConformanceSuites

/// `scheme:///path/of/socket?name=value&name=value`, or the same with `scheme:/path`, taken apart.
struct SocketAddress {
  let path: String
  let parameters: [String: String]

  /// nil if the address has another scheme.
  init?(_ address: String, scheme: String, parameters known: Set<String> = []) throws {
    guard address.hasPrefix(scheme + ":") else { return nil }
    let prefix = address.hasPrefix(scheme + "://") ? scheme + "://" : scheme + ":"
    let parts = address.dropFirst(prefix.count).split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    path = String(parts[0])
    if !path.hasPrefix("/") { throw SuiteError("\(address): give the socket by its absolute path, as in \(scheme):///run/my.sock") }
    var parameters: [String: String] = [:]
    for word in parts.count > 1 ? parts[1].split(separator: "&") : [] {
      let pair = word.split(separator: "=", maxSplits: 1).map(String.init)
      guard pair.count == 2, known.contains(pair[0]) else {
        throw SuiteError("\(address): \(word) is not understood; known are \(known.sorted().map { $0 + "=…" }.joined(separator: ", "))")
      }
      parameters[pair[0]] = pair[1]
    }
    self.parameters = parameters
  }
}
