import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import OCI
import Protocols

enum TokenScope {
  /// All that a pull needs.
  static func pull(_ repository: String) -> String { "repository:\(repository):pull" }

  /// A registry may know the repository by another name, and may offer more than we want: the name is taken, the rest is not.
  static func pull(challenge: String?, repository: String) -> String {
    let parts = challenge?.split(separator: " ").first?.split(separator: ":").map(String.init) ?? []
    // The name itself may carry a registry's port, and so a colon.
    guard parts.count >= 3, parts[0] == "repository" else { return pull(repository) }
    return pull(parts[1..<parts.count - 1].joined(separator: ":"))
  }
}

/// Answers to 401: basic authentication (RFC 7617), and the distribution project's tokens (RFC 6750).
extension RegistrySession {
  /// The `Authorization` for one of the challenges; nil if all of them ask for what we do not have.
  func answer(_ challenges: [AuthChallenge], from registry: WebAddress, _ call: Call) async throws -> String? {
    let credentials = configuration.credentials[call.image.registry]
    let basic = credentials.map { "Basic " + Base64.encode(Array("\($0.user):\($0.password)".utf8)) }
    for challenge in challenges {
      switch challenge.scheme {
      case "basic": if let basic { return basic }
      case "bearer": if let realm = challenge.parameters["realm"] { return try await token(realm, challenge, registry, basic, call) }
      default: continue
      }
    }
    return nil
  }

  private func token(_ realm: String, _ challenge: AuthChallenge, _ registry: WebAddress, _ basic: String?, _ call: Call) async throws -> String {
    let address = try trusted(realm, registry, call)
    var query = [("scope", TokenScope.pull(challenge: challenge.parameters["scope"], repository: call.image.repository))]
    if let service = challenge.parameters["service"] { query.append(("service", service)) }
    let object = "\(call.object): token from \(address)"
    let request = Call(image: call.image, path: "", object: object)
    let response = try await following(address.adding(query: query), request, basic)
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
    let isPlainAllowed = registry.origin.scheme == .http && (address.isLoopback || configuration.plainHTTP.contains(address.registry))
    guard address.origin.scheme == .https || isPlainAllowed else {
      throw ContainerdError(.permissionDenied, "\(call.object): token realm \(address) is plain HTTP")
    }
    return address
  }
}
