import Protocols

/// A name such as `127.0.0.1:5000/team/app:1.2` or `busybox@sha256:…`, with the registry world's defaults filled in: `docker.io`, `library/`, `latest`.
///
/// What stands before the first `/` is a registry if it has a dot or a colon or is `localhost`; otherwise it belongs to a repository of docker.io.
/// A name may carry a tag and a digest; then the digest says what is meant.
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
      do { digest = try Digest(parsing: String(rest[rest.index(after: at)...])) } catch { throw wrong(error.message) }
      rest = rest[..<at]
    }
    var tag: String?
    // A colon before the last slash is the port's.
    if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
      let name = String(rest[rest.index(after: colon)...])
      guard RepositoryName.isTag(name) else { throw wrong("tag \"\(name)\" is malformed") }
      tag = name
      rest = rest[..<colon]
    }
    var parts = rest.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let isHost = parts.count > 1 && (parts[0].contains(".") || parts[0].contains(":") || parts[0] == "localhost")
    var host = isHost ? parts.removeFirst() : "docker.io"
    // docker.io's old name.
    if host == "index.docker.io" { host = "docker.io" }
    guard RepositoryName.isRegistry(host) else { throw wrong("registry \"\(host)\" is malformed") }
    if host == "docker.io" && parts.count == 1 { parts.insert("library", at: 0) }
    let repository = parts.joined(separator: "/")
    if repository.utf8.count > 255 { throw wrong("the repository is longer than 255 characters") }
    if repository.contains(where: \.isUppercase) { throw wrong("the repository \"\(repository)\" must be lower-case") }
    guard RepositoryName.isRepository(repository) else {
      throw wrong("the repository \"\(repository)\" must be letters and digits, separated by '.', '_', '__' or '-', in components separated by '/'")
    }
    // It would be taken for a digest without its algorithm.
    if !isHost, tag == nil, digest == nil, rest.utf8.count == 64, (try? Digest(parsing: "sha256:\(rest)")) != nil {
      throw wrong("64 hexadecimal digits alone are no name")
    }
    self.registry = host
    self.repository = repository
    self.digest = digest
    self.tag = tag ?? (digest == nil ? "latest" : nil)
  }

  /// What names the manifest in a request: the digest if there is one, else the tag.
  public var target: String { digest?.description ?? tag ?? "latest" }

  /// The registry's host without its port.
  public var host: String {
    if registry.hasPrefix("[") { return String(registry.dropFirst().prefix { $0 != "]" }) }
    return String(registry.prefix { $0 != ":" })
  }

  public var description: String {
    "\(registry)/\(repository)" + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
  }
}
