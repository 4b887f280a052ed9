/// Where a registry's repositories are to be had: its mirrors in the order in which they are tried, and the registry itself after them.
public struct RegistryHosts: Hashable, Sendable {
  public var mirrors: [RegistryHost]
  /// What is asked in the place of the host that the registry's name says.
  public var server: RegistryHost?

  public init(mirrors: [RegistryHost] = [], server: RegistryHost? = nil) {
    self.mirrors = mirrors
    self.server = server
  }
}

/// One place that answers for a registry.
public struct RegistryHost: Hashable, Sendable {
  public enum Capability: String, Hashable, Sendable, CaseIterable {
    /// Delivers what has a digest.
    case pull
    /// Says what a tag stands for: it is believed.
    case resolve
    case push
  }

  /// `https://mirror.example:5000`, perhaps with a path. `http` sends everything in plain text, credentials too.
  public var address: String
  public var capabilities: Set<Capability>
  /// Whether any certificate will do.
  public var skipsVerification: Bool
  /// Files of certificates (PEM) that are trusted besides the system's.
  public var authorities: [String]
  /// Whether the address is the root of the API; otherwise `/v2` is below it.
  public var isWholePath: Bool

  public init(
    address: String, capabilities: Set<Capability> = Set(Capability.allCases), skipsVerification: Bool = false, authorities: [String] = [],
    isWholePath: Bool = false
  ) {
    self.address = address
    self.capabilities = capabilities
    self.skipsVerification = skipsVerification
    self.authorities = authorities
    self.isWholePath = isWholePath
  }
}
