/// Who we are to registries. It is asked whenever a token or a basic authorization is needed anew, so that credentials may change at any time.
public struct CredentialSource: Sendable, ExpressibleByDictionaryLiteral {
  public typealias Ask = @Sendable (_ registry: String) async throws -> RegistryResolver.Credentials?

  private var known: [String: RegistryResolver.Credentials]
  private let ask: Ask?

  /// Credentials that stay as they are, by registry (host and port as in an image's name).
  public init(_ known: [String: RegistryResolver.Credentials] = [:]) {
    self.known = known
    ask = nil
  }

  /// `ask` answers nil for a registry that we are nobody to. What it throws ends the request; it may be called by several tasks at once.
  public init(asking ask: @escaping Ask) {
    known = [:]
    self.ask = ask
  }

  public init(dictionaryLiteral elements: (String, RegistryResolver.Credentials)...) { self.init(Dictionary(elements) { $1 }) }

  /// Credentials given here go before what would be asked.
  public subscript(_ registry: String) -> RegistryResolver.Credentials? {
    get { known[registry] }
    set { known[registry] = newValue }
  }

  func credentials(for registry: String) async throws -> RegistryResolver.Credentials? {
    if let credentials = known[registry] { return credentials }
    return try await ask?(registry)
  }
}

extension RegistryResolver {
  /// A user with a password, or a token that stands for a user (OAuth's refresh token, which some registries call an identity token).
  public struct Credentials: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var user: String
    public var password: String
    public var identityToken: String?

    public init(user: String, password: String) {
      self.user = user
      self.password = password
    }

    public init(identityToken: String) {
      self.user = ""
      self.password = ""
      self.identityToken = identityToken
    }

    /// Without the secret, wherever it is printed.
    public var description: String { identityToken == nil ? "a password of \"\(user)\"" : "an identity token" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }

    var basic: String? { identityToken == nil ? "Basic " + Base64.encode(Array("\(user):\(password)".utf8)) : nil }
  }
}
