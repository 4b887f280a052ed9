import NIOSSL
import Protocols

/// A root of the API that answers for a registry: the registry's own, or a mirror's.
struct Endpoint: Sendable {
  /// Its path has no slash at the end.
  var root: WebAddress
  /// Whose credentials are wanted here.
  var credentialsName: String
  /// What a mirror is told: the registry that it stands for.
  var namespace: String?
  var trust: TLSConfiguration?
  var capabilities: Set<RegistryHost.Capability>
  var isMirror: Bool

  /// What the registry's name says: plain HTTP on loopback and where it was configured so, otherwise HTTPS.
  init(registry: String, plainHTTP: Set<String>) throws {
    let host = registry == "docker.io" ? "registry-1.docker.io" : registry
    guard let plain = WebAddress("http://\(host)/v2"), let secure = WebAddress("https://\(host)/v2") else {
      throw ContainerdError.invalidArgument("registry \"\(registry)\" is no host")
    }
    root = plain.isLoopback || plainHTTP.contains(registry) ? plain : secure
    credentialsName = registry
    capabilities = Set(RegistryHost.Capability.allCases)
    isMirror = false
  }

  init(_ host: RegistryHost, for registry: String, isMirror: Bool) throws {
    let text = host.address.contains("://") ? host.address : "https://\(host.address)"
    guard var root = WebAddress(text), !root.target.contains("?") else {
      throw ContainerdError.invalidArgument("registry \(registry): the host \"\(RegistryErrors.printable(host.address))\" is no HTTP address")
    }
    while root.target.hasSuffix("/") { root.target.removeLast() }
    if !host.isWholePath, !root.target.hasSuffix("/v2") { root.target += "/v2" }
    self.root = root
    let name = root.registry
    credentialsName = ["registry-1.docker.io", "index.docker.io"].contains(name) ? "docker.io" : name
    namespace = credentialsName == registry ? nil : registry
    capabilities = host.capabilities
    self.isMirror = isMirror
    if host.skipsVerification || !host.authorities.isEmpty {
      var trust = TLSConfiguration.makeClientConfiguration()
      if host.skipsVerification { trust.certificateVerification = .none }
      trust.additionalTrustRoots = host.authorities.map { .file($0) }
      self.trust = trust
    }
  }

  /// `path` is below the repository's name.
  func address(_ repository: String, _ path: String) -> WebAddress {
    var address = root
    address.target += "/\(repository)/\(path)"
    return namespace.map { address.adding(query: [("ns", $0)]) } ?? address
  }
}

/// Which endpoints answer for a registry, as configured; and which mirrors have failed of late.
actor HostBook {
  /// For how long the configuration's word is kept: a lazy pull asks many times a second.
  private static let memory = Duration.seconds(10)

  private let configuration: RegistryResolver.Configuration
  private var known: [String: (hosts: RegistryHosts?, until: ContinuousClock.Instant)] = [:]
  private var failing: [WebAddress: ContinuousClock.Instant] = [:]

  init(_ configuration: RegistryResolver.Configuration) { self.configuration = configuration }

  /// Those with the capability, in the order in which to try them; at least one. Mirrors that rest are left out, the last resort never is.
  func endpoints(for registry: String, _ capability: RegistryHost.Capability) async throws -> [Endpoint] {
    let hosts = try await hosts(for: registry)
    var endpoints: [Endpoint] = []
    // Nothing is pushed to a mirror that is not asked for by name.
    if capability != .push { endpoints = try hosts?.mirrors.map { try Endpoint($0, for: registry, isMirror: true) } ?? [] }
    endpoints.append(
      try hosts?.server.map { try Endpoint($0, for: registry, isMirror: false) } ?? Endpoint(registry: registry, plainHTTP: configuration.plainHTTP))
    endpoints.removeAll { !$0.capabilities.contains(capability) }
    guard let last = endpoints.popLast() else {
      throw ContainerdError.failedPrecondition("registry \(registry): none of its configured hosts may \(capability.rawValue)")
    }
    let now = ContinuousClock.now
    failing = failing.filter { $0.value > now }
    return endpoints.filter { failing[$0.root] == nil } + [last]
  }

  /// The mirror is not asked for a while.
  func rest(_ endpoint: Endpoint) {
    if endpoint.isMirror { failing[endpoint.root] = .now + configuration.mirrorRest }
  }

  private func hosts(for registry: String) async throws -> RegistryHosts? {
    if let entry = known[registry], entry.until > .now { return entry.hosts }
    let hosts = try await configuration.hosts(registry)
    known[registry] = (hosts, .now + Self.memory)
    return hosts
  }
}
