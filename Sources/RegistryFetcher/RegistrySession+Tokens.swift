import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import OCI
import Protocols

enum TokenScope {
  /// All that the call's kind needs in its repository: reading alone, unless something is pushed.
  static func of(_ call: RegistrySession.Call) -> String { of(call.image.repository, call.capability) }

  static func of(_ repository: String, _ capability: RegistryHost.Capability) -> String {
    "repository:\(repository):\(capability == .push ? "pull,push" : "pull")"
  }

  /// A registry may know the repository by another name, and may offer more than we want: the name is taken, the rest is not.
  static func of(_ repository: String, _ capability: RegistryHost.Capability, challenge: String?) -> String {
    let parts = challenge?.split(separator: " ").first?.split(separator: ":").map(String.init) ?? []
    // The name itself may carry a registry's port, and so a colon.
    guard parts.count >= 3, parts[0] == "repository" else { return of(repository, capability) }
    return of(parts[1..<parts.count - 1].joined(separator: ":"), capability)
  }
}

/// Answers to 401: basic authentication (RFC 7617), and the distribution project's tokens (RFC 6750).
extension RegistrySession {
  /// The `Authorization` for one of the challenges; nil if all of them ask for what we do not have.
  func answer(_ challenges: [AuthChallenge], from endpoint: Endpoint, _ call: Call) async throws -> String? {
    guard challenges.contains(where: { ["basic", "bearer"].contains($0.scheme) }) else { return nil }
    let credentials = try await configuration.credentials.credentials(for: endpoint.credentialsName)
    for challenge in challenges {
      switch challenge.scheme {
      case "basic": if let basic = credentials?.basic { return basic }
      case "bearer": if let realm = challenge.parameters["realm"] { return try await token(realm, challenge, endpoint, credentials, call) }
      default: continue
      }
    }
    return nil
  }

  private func token(
    _ realm: String, _ challenge: AuthChallenge, _ endpoint: Endpoint, _ credentials: RegistryResolver.Credentials?, _ call: Call
  ) async throws -> String {
    let address = try trusted(realm, endpoint.root, call)
    var query = [("scope", TokenScope.of(call.image.repository, call.capability, challenge: challenge.parameters["scope"]))]
    if let service = challenge.parameters["service"] { query.append(("service", service)) }
    let object = "\(call.object): token from \(address)"
    let response: HTTPClientResponse
    if let identity = credentials?.identityToken {
      // OAuth 2.0, section 6: the token goes in the body, so that no log of addresses has it.
      query += [("grant_type", "refresh_token"), ("client_id", configuration.userAgent), ("refresh_token", identity)]
      let form = query.map { "\($0)=\(WebAddress.escape($1))" }.joined(separator: "&")
      let request = Call(
        image: call.image, path: "", method: .POST, payload: Payload(.bytes(Array(form.utf8)), type: "application/x-www-form-urlencoded", isSecret: true),
        object: object)
      response = try await following(address, request, nil, endpoint).0
    } else {
      response = try await following(address.adding(query: query), Call(image: call.image, path: "", object: object), credentials?.basic, endpoint).0
    }
    guard response.status == .ok else {
      let error = await RegistryErrors.error(response, object)
      throw Retry.isTransient(response.status) ? Transient(cause: error, after: Retry.after(response.headers)) : error
    }
    do {
      let body = try await response.body.collect(upTo: 1 << 20)
      if let token = TokenResponse.token(Array(body.readableBytesView)) { return "Bearer \(token)" }
    } catch is NIOTooManyBytesError {}
    throw ContainerdError(.unauthenticated, "\(object): the answer is no token")
  }

  /// The realm is where credentials go, and where the token comes from: nobody may listen in. Plain HTTP is for registries that are spoken to so
  /// themselves, and then for a realm on this machine or on a host that was configured so.
  private func trusted(_ realm: String, _ registry: WebAddress, _ call: Call) throws -> WebAddress {
    guard let address = WebAddress(realm) else {
      throw ContainerdError(.permissionDenied, "\(call.object): token realm \"\(RegistryErrors.printable(realm))\" is no HTTP address")
    }
    let isConfigured = address.isLoopback || configuration.plainHTTP.contains(address.registry) || address.origin == registry.origin
    let isPlainAllowed = registry.origin.scheme == .http && isConfigured
    guard address.origin.scheme == .https || isPlainAllowed else {
      throw ContainerdError(.permissionDenied, "\(call.object): token realm \(address) is plain HTTP")
    }
    return address
  }
}
