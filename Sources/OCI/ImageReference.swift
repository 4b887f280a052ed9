import Protocols

/// A name such as `127.0.0.1:5000/team/app:1.2` or `busybox@sha256:…`, with the registry world's defaults filled in (docker.io, library/, latest).
public struct ImageReference: Hashable, Sendable, CustomStringConvertible {
  /// Host and port.
  public let registry: String
  public let repository: String
  public let tag: String?
  public let digest: Digest?

  /// `invalidArgument` says what is wrong with the name.
  public init(parsing text: String) throws(ContainerdError) {
    func wrong(_ why: String) -> ContainerdError { .invalidArgument("image reference \"\(text)\": \(why)") }
    var rest = Substring(text)
    var digest: Digest?
    if let at = rest.firstIndex(of: "@") {
      digest = try Digest(parsing: String(rest[rest.index(after: at)...]))
      rest = rest[..<at]
    }
    var tag: String?
    if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
      let name = String(rest[rest.index(after: colon)...])
      rest = rest[..<colon]
      let valid = name.utf8.allSatisfy { ($0 | 0x20).isLetter || (0x30...0x39).contains($0) || [0x5f, 0x2e, 0x2d].contains($0) }
      guard !name.isEmpty, name.utf8.count <= 128, valid, name.first != ".", name.first != "-" else { throw wrong("tag \"\(name)\" is malformed") }
      tag = name
    }
    var parts = rest.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let isHost = parts.count > 1 && (parts[0].contains(".") || parts[0].contains(":") || parts[0] == "localhost")
    let host = isHost ? parts.removeFirst() : "docker.io"
    if host == "docker.io" && parts.count == 1 { parts.insert("library", at: 0) }
    guard !parts.isEmpty, parts.allSatisfy(Self.isComponent) else { throw wrong("the repository must be lower-case names separated by '/'") }
    guard host.utf8.allSatisfy({ ($0 | 0x20).isLetter || (0x30...0x39).contains($0) || [0x2d, 0x2e, 0x3a, 0x5b, 0x5d].contains($0) }) else {
      throw wrong("registry \"\(host)\" is malformed")
    }
    self.registry = host
    self.repository = parts.joined(separator: "/")
    self.digest = digest
    self.tag = tag ?? (digest == nil ? "latest" : nil)
    if repository.utf8.count > 255 { throw wrong("the repository is longer than 255 characters") }
  }

  private static func isComponent(_ text: String) -> Bool {
    guard let first = text.utf8.first, let last = text.utf8.last else { return false }
    func alphanumeric(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) }
    return alphanumeric(first) && alphanumeric(last) && text.utf8.allSatisfy { alphanumeric($0) || [0x2d, 0x2e, 0x5f].contains($0) }
  }

  /// What names the manifest in a request: the digest if there is one, else the tag.
  public var target: String { digest?.description ?? tag ?? "latest" }

  public var description: String {
    "\(registry)/\(repository)" + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
  }
}

extension UInt8 {
  fileprivate var isLetter: Bool { (0x61...0x7a).contains(self) }
}
