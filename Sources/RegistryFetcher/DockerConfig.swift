import BlockingIO
import FoundationEssentials
import Protocols

/// Credentials as `docker login` leaves them: a `config.json` with secrets in it, or with the names of programs that know them. It is read at every question.
///
/// A helper of the registry's own (`credHelpers`) alone answers for it; else the store (`credsStore`) is asked before the file's own entry (`auths`). A file that
/// is not there means no credentials.
public struct DockerConfig: Sendable {
  public let path: String
  /// How long a helper may take.
  public var helperTimeout: Duration

  private static let pool = BlockingPool(label: "credentials", width: 4)
  private static let limit = 4 << 20

  public init(path: String, helperTimeout: Duration = .seconds(20)) {
    self.path = path
    self.helperTimeout = helperTimeout
  }

  /// Where Docker's command line keeps it: below `$DOCKER_CONFIG`, else below `$HOME/.docker`; nil if neither is set.
  public static func standardPath(_ environment: [String: String]) -> String? {
    if let directory = environment["DOCKER_CONFIG"], !directory.isEmpty { return "\(directory)/config.json" }
    if let home = environment["HOME"], !home.isEmpty { return "\(home)/.docker/config.json" }
    return nil
  }

  public var source: CredentialSource { CredentialSource { registry in try await credentials(for: registry) } }

  /// `invalidArgument` names what is wrong in the file, `notFound` a helper that is not installed, `deadlineExceeded` one that does not answer.
  public func credentials(for registry: String) async throws -> RegistryResolver.Credentials? {
    try await Self.pool.run { try blockingCredentials(registry) }
  }

  private func blockingCredentials(_ registry: String) throws -> RegistryResolver.Credentials? {
    guard let wire = try read() else { return nil }
    let server = registry == "docker.io" ? "https://index.docker.io/v1/" : registry
    if let helper = wire.credHelpers?.first(where: { Self.host($0.key) == registry })?.value {
      return try CredentialHelper(name: helper, timeout: helperTimeout, source: path).credentials(for: server)
    }
    if let store = wire.credsStore, !store.isEmpty,
      let found = try CredentialHelper(name: store, timeout: helperTimeout, source: path).credentials(for: server)
    {
      return found
    }
    for (key, entry) in (wire.auths ?? [:]).sorted(by: { $0.key < $1.key }) where Self.host(key) == registry {
      if let credentials = try entry.credentials("\(path): auths.\"\(RegistryErrors.printable(key))\"") { return credentials }
    }
    return nil
  }

  private func read() throws -> Wire? {
    let data: Data
    do { data = try Data(contentsOf: URL(fileURLWithPath: path)) } catch let error as CocoaError where error.code == .fileReadNoSuchFile { return nil } catch {
      throw ContainerdError.unavailable("\(path): cannot be read")
    }
    guard data.count <= Self.limit else { throw ContainerdError.invalidArgument("\(path): larger than \(Self.limit) bytes") }
    do { return try JSONDecoder().decode(Wire.self, from: data) } catch {
      // The decoder's own words may quote what stands in the file.
      throw ContainerdError.invalidArgument("\(path): no configuration of Docker's form\(Self.place(error))")
    }
  }

  private static func place(_ error: any Error) -> String {
    let context: DecodingError.Context
    switch error as? DecodingError {
    case .typeMismatch(_, let found), .valueNotFound(_, let found), .keyNotFound(_, let found), .dataCorrupted(let found): context = found
    default: return ""
    }
    let path = context.codingPath.map { RegistryErrors.printable($0.stringValue) }.joined(separator: ".")
    return path.isEmpty ? "" : ", at \(path)"
  }

  /// The registry that a key speaks of: keys are hosts, or addresses with a version of the API behind them. What names a part of a registry names no registry.
  static func host(_ key: String) -> String? {
    var rest = Substring(key)
    if let mark = rest.firstRange(of: "://") { rest = rest[mark.upperBound...] }
    let host = rest.prefix { $0 != "/" }
    guard ["", "/", "/v1", "/v1/", "/v2", "/v2/"].contains(rest[host.endIndex...]) else { return nil }
    return ["index.docker.io", "registry-1.docker.io"].contains(host) ? "docker.io" : host.lowercased()
  }

  private struct Wire: Decodable {
    var auths: [String: Entry]?
    var credHelpers: [String: String]?
    var credsStore: String?
  }

  private struct Entry: Decodable {
    var auth: String?
    var username: String?
    var password: String?
    var identitytoken: String?

    func credentials(_ object: String) throws -> RegistryResolver.Credentials? {
      if let identitytoken, !identitytoken.isEmpty { return .init(identityToken: identitytoken) }
      if let auth, !auth.isEmpty {
        let parts = Data(base64Encoded: auth).map { String(decoding: $0, as: UTF8.self) }?.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let parts, parts.count == 2, !parts[0].isEmpty else { throw ContainerdError.invalidArgument("\(object).auth is not USER:PASSWORD in base64") }
        return .init(user: String(parts[0]), password: String(parts[1].prefix { $0 != "\0" }))
      }
      guard let username, !username.isEmpty else { return nil }
      return .init(user: username, password: password ?? "")
    }
  }
}
