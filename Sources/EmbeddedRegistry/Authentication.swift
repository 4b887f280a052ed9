import NIOHTTP1
import Synchronization

/// Who may do what.
public enum RegistryAuthentication: Sendable {
  /// Everybody everything: the registry is on loopback.
  case none
  case basic(user: String, password: String)
  /// Tokens, from the registry's own `/token`.
  case bearer(Bearer)

  public struct Bearer: Sendable {
    public var service: String
    public var users: [String: String]
    /// Refresh tokens of OAuth that are as good as a user's password.
    public var identityTokens: Set<String>
    /// Whether those without credentials get a token that reads.
    public var allowsAnonymous: Bool
    public var lifetime: Duration
    /// Requests that a token is good for; nil for any number.
    public var uses: Int?
    /// The field of the answer that carries the token: `token`, or `access_token`.
    public var field: String
    /// What the challenge names as realm; nil for our own `/token`.
    public var realm: String?

    public init(
      service: String = "registry", users: [String: String] = [:], identityTokens: Set<String> = [], allowsAnonymous: Bool = true,
      lifetime: Duration = .seconds(300), uses: Int? = nil, field: String = "token", realm: String? = nil
    ) {
      self.service = service
      self.users = users
      self.identityTokens = identityTokens
      self.allowsAnonymous = allowsAnonymous
      self.lifetime = lifetime
      self.uses = uses
      self.field = field
      self.realm = realm
    }
  }
}

/// Checks requests and hands out tokens (the token protocol of the distribution project; RFC 6750, RFC 7617).
final class Gatekeeper: Sendable {
  private struct Grant {
    var scopes: Set<String>
    var expires: ContinuousClock.Instant
    var usesLeft: Int?
  }
  private struct Limits {
    var lifetime: Duration
    var uses: Int?
  }

  private let authentication: RegistryAuthentication
  private let grants = Mutex<[String: Grant]>([:])
  private let limits: Mutex<Limits>

  init(_ authentication: RegistryAuthentication) {
    self.authentication = authentication
    if case .bearer(let bearer) = authentication {
      limits = Mutex(Limits(lifetime: bearer.lifetime, uses: bearer.uses))
    } else {
      limits = Mutex(Limits(lifetime: .zero))
    }
  }

  /// For tokens that are handed out from now on.
  func limitTokens(lifetime: Duration, uses: Int?) { limits.withLock { $0 = Limits(lifetime: lifetime, uses: uses) } }

  func revokeTokens() { grants.withLock { $0 = [:] } }

  /// Throws the challenge that the request has to answer.
  func check(_ head: HTTPRequestHead, _ route: Route, origin: String) throws(RegistryError) {
    let authorization = head.headers.first(name: "Authorization") ?? ""
    switch authentication {
    case .none: return
    case .basic(let user, let password):
      if Self.credentials(authorization).map({ $0 == (user, password) }) == true { return }
      throw RegistryError(.unauthorized, "credentials are needed", headers: [("WWW-Authenticate", "Basic realm=\"registry\"")])
    case .bearer(let bearer):
      let reads = head.method == .GET || head.method == .HEAD
      let scope = route.repository.map { "repository:\($0):\(reads ? "pull" : "push")" }
      if authorization.hasPrefix("Bearer "), isGranted(String(authorization.dropFirst(7)), scope) { return }
      var challenge = "Bearer realm=\"\(bearer.realm ?? "\(origin)/token")\",service=\"\(bearer.service)\""
      if let name = route.repository { challenge += ",scope=\"repository:\(name):\(reads ? "pull" : "pull,push")\"" }
      throw RegistryError(.unauthorized, "a token is needed", headers: [("WWW-Authenticate", challenge)])
    }
  }

  private func isGranted(_ token: String, _ scope: String?) -> Bool {
    grants.withLock { grants in
      guard let grant = grants[token], grant.expires > .now else { return false }
      if let scope, !grant.scopes.contains(scope) { return false }
      if let left = grant.usesLeft {
        if left <= 0 { return false }
        grants[token]?.usesLeft = left - 1
      }
      return true
    }
  }

  /// The answer of `/token`; `query` is the form of a POST.
  func token(_ head: HTTPRequestHead, _ query: Query) throws(RegistryError) -> Response {
    guard case .bearer(let bearer) = authentication else { throw RegistryError(.unsupported, "this registry hands out no tokens", status: .notFound) }
    guard query["service"] == bearer.service else { throw RegistryError(.denied, "no tokens for service \"\(query["service"] ?? "")\"") }
    let known: Bool
    if head.method == .POST {
      guard query["grant_type"] == "refresh_token", let token = query["refresh_token"], bearer.identityTokens.contains(token) else {
        throw RegistryError(.unauthorized, "no such refresh token")
      }
      known = true
    } else if let header = head.headers.first(name: "Authorization") {
      guard let (user, password) = Self.credentials(header), bearer.users[user] == password else { throw RegistryError(.unauthorized, "wrong credentials") }
      known = true
    } else {
      guard bearer.allowsAnonymous else { throw RegistryError(.unauthorized, "credentials are needed") }
      known = false
    }
    var scopes: Set<String> = []
    let parts = (query["scope"] ?? "").split(separator: ":").map(String.init)
    if parts.count == 3, parts[0] == "repository" {
      for action in parts[2].split(separator: ",") where action == "pull" || known { scopes.insert("repository:\(parts[1]):\(action)") }
    }
    let token = RegistryStorage.randomName()
    let limits = limits.withLock { $0 }
    grants.withLock { $0[token] = Grant(scopes: scopes, expires: .now + limits.lifetime, usesLeft: limits.uses) }
    struct Answer: Encodable {
      var token: String?
      var access_token: String?
      var expires_in: Int64
    }
    let isOAuth = bearer.field == "access_token" || head.method == .POST
    return .json(Answer(token: isOAuth ? nil : token, access_token: isOAuth ? token : nil, expires_in: limits.lifetime.components.seconds))
  }

  private static func credentials(_ header: String) -> (String, String)? {
    guard header.lowercased().hasPrefix("basic "), let bytes = Base64.decode(header.dropFirst(6)) else { return nil }
    let parts = String(decoding: bytes, as: UTF8.self).split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    return parts.count == 2 ? (parts[0], parts[1]) : nil
  }
}
