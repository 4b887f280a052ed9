/// The grammar of names in registries (OCI distribution-spec, "Pulling manifests"; the distribution project's reference grammar).
public enum RepositoryName {
  /// Components `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, separated by `/`, at most 255 bytes.
  public static func isRepository(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 255 && text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { isComponent($0) }
  }

  private static func isComponent(_ text: Substring) -> Bool {
    let isWord = { (byte: UInt8) in byte.isLowercase || byte.isDigit }
    guard let first = text.utf8.first, let last = text.utf8.last, isWord(first), isWord(last) else { return false }
    return text.utf8.split(whereSeparator: isWord).allSatisfy { run in
      run.elementsEqual([0x2e]) || run.elementsEqual([0x5f]) || run.elementsEqual([0x5f, 0x5f]) || run.allSatisfy { $0 == 0x2d }
    }
  }

  /// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
  public static func isTag(_ text: String) -> Bool {
    guard (1...128).contains(text.utf8.count), text.first != ".", text.first != "-" else { return false }
    return text.utf8.allSatisfy { $0.isLetter || $0.isDigit || [0x5f, 0x2e, 0x2d].contains($0) }
  }

  /// A host name, an IPv4 address or an IPv6 address in brackets, with or without a port.
  public static func isRegistry(_ text: String) -> Bool {
    var host = Substring(text)
    if host.hasPrefix("[") {
      guard let end = host.firstIndex(of: "]") else { return false }
      let inside = host[host.index(after: host.startIndex)..<end].utf8
      let isAddress = inside.contains(0x3a) && inside.allSatisfy { $0.isDigit || $0 == 0x3a || $0 == 0x2e || (0x61...0x66).contains($0 | 0x20) }
      return isAddress && isPort(host[host.index(after: end)...])
    }
    if let colon = host.firstIndex(of: ":") {
      if !isPort(host[colon...]) { return false }
      host = host[..<colon]
    }
    return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
      guard let first = label.utf8.first, let last = label.utf8.last else { return false }
      return first != 0x2d && last != 0x2d && label.utf8.allSatisfy { $0.isLetter || $0.isDigit || $0 == 0x2d }
    }
  }

  /// Nothing, or `:` and a number that a port can be.
  private static func isPort(_ text: Substring) -> Bool {
    text.isEmpty || (text.first == ":" && text.dropFirst().utf8.allSatisfy(\.isDigit) && UInt16(text.dropFirst()).map { $0 > 0 } == true)
  }
}

extension UInt8 {
  fileprivate var isDigit: Bool { (0x30...0x39).contains(self) }
  fileprivate var isLowercase: Bool { (0x61...0x7a).contains(self) }
  fileprivate var isLetter: Bool { (0x61...0x7a).contains(self) || (0x41...0x5a).contains(self) }
}
