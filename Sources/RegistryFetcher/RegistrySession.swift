import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import OCI
import Protocols
import Synchronization

/// Requests with everything around them: scheme, authentication, redirects, retries.
final class RegistrySession: Sendable {
  private let configuration: RegistryResolver.Configuration
  private let client: HTTPClient
  private let tokens = Mutex<[String: String]>([:])

  init(configuration: RegistryResolver.Configuration) {
    self.configuration = configuration
    var settings = HTTPClient.Configuration()
    settings.redirectConfiguration = .disallow
    settings.timeout.connect = .seconds(10)
    settings.timeout.read = .nanoseconds(
      configuration.idleTimeout.components.seconds * 1_000_000_000 + configuration.idleTimeout.components.attoseconds / 1_000_000_000)
    settings.decompression = .disabled
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
  }

  func close() async throws { try await client.shutdown() }

  /// One request below `/v2/<repository>/`. Connection failures, 429 and 5xx are tried again; other statuses are the caller's.
  func request(
    _ method: HTTPMethod, _ image: ImageReference, path: String, accept: [String] = [], range: Int64 = 0, object: String
  ) async throws -> HTTPClientResponse {
    let url = "\(scheme(image.registry))://\(host(image.registry))/v2/\(image.repository)/\(path)"
    var delay = Duration.milliseconds(200)
    for attempt in 1... {
      do {
        let response = try await authorized(method, url, image, accept, range, object)
        let retriable = response.status == .tooManyRequests || response.status.code >= 500
        if !retriable || attempt >= configuration.attempts { return response }
        if let seconds = response.headers.first(name: "Retry-After").flatMap(Int.init) { delay = .seconds(min(seconds, 60)) }
      } catch let error as ContainerdError { throw error } catch is CancellationError { throw CancellationError() } catch {
        if attempt >= configuration.attempts {
          throw ContainerdError.unavailable("\(object): \(method.rawValue) \(url) failed \(attempt) times, last: \(error)")
        }
      }
      try await Task.sleep(for: delay)
      delay = min(delay * 2, .seconds(10))
    }
    throw ContainerdError.unavailable(object)
  }

  private func authorized(
    _ method: HTTPMethod, _ url: String, _ image: ImageReference, _ accept: [String], _ range: Int64, _ object: String
  ) async throws -> HTTPClientResponse {
    let scope = "repository:\(image.repository):pull"
    let key = "\(image.registry) \(scope)"
    var authorization = tokens.withLock { $0[key] }
    for attempt in 0..<2 {
      let response = try await following(method, url, authorization, accept, range, object)
      guard response.status == .unauthorized, attempt == 0 else { return response }
      let challenges = response.headers["WWW-Authenticate"].flatMap { AuthChallenge.parse($0) }
      guard let fresh = try await answer(challenges, image, scope, object) else { return response }
      authorization = fresh
      tokens.withLock { $0[key] = fresh }
    }
    throw ContainerdError(.unauthenticated, object)
  }

  private func following(
    _ method: HTTPMethod, _ url: String, _ authorization: String?, _ accept: [String], _ range: Int64, _ object: String
  ) async throws -> HTTPClientResponse {
    var url = url
    var authorization = authorization
    for _ in 0..<10 {
      var request = HTTPClientRequest(url: url)
      request.method = method
      for type in accept { request.headers.add(name: "Accept", value: type) }
      // Digests are over the bytes as stored.
      request.headers.add(name: "Accept-Encoding", value: "identity")
      request.headers.add(name: "User-Agent", value: "containerd-ref")
      if range > 0 { request.headers.add(name: "Range", value: "bytes=\(range)-") }
      if let authorization { request.headers.add(name: "Authorization", value: authorization) }
      let response = try await client.execute(request, deadline: .distantFuture)
      guard [301, 302, 303, 307, 308].contains(response.status.code), let location = response.headers.first(name: "Location") else { return response }
      let next = URLText.resolve(location, against: url)
      if URLText.origin(next) != URLText.origin(url) { authorization = nil }
      if URLText.origin(url).hasPrefix("https://") && !next.hasPrefix("https://") {
        throw ContainerdError(.permissionDenied, "\(object): redirect from \(url) to plain HTTP \(next)")
      }
      url = next
    }
    throw ContainerdError.failedPrecondition("\(object): more than 10 redirects")
  }

  /// The `Authorization` for a challenge; nil if it asks for something that we do not have.
  private func answer(_ challenges: [AuthChallenge], _ image: ImageReference, _ scope: String, _ object: String) async throws -> String? {
    let credentials = configuration.credentials[image.registry]
    let basic = credentials.map { "Basic " + Base64.encode(Array("\($0.user):\($0.password)".utf8)) }
    for challenge in challenges {
      switch challenge.scheme {
      case "basic": if let basic { return basic }
      case "bearer":
        guard let realm = challenge.parameters["realm"] else { continue }
        // Credentials go only where nobody listens in, or back to the registry itself.
        let safe = realm.hasPrefix("https://") || URLText.isLoopback(realm)
        guard safe else { throw ContainerdError(.permissionDenied, "\(object): token realm \(realm) is neither HTTPS nor on this machine") }
        var query = ["scope=\(URLText.escape(challenge.parameters["scope"] ?? scope))"]
        if let service = challenge.parameters["service"] { query.append("service=\(URLText.escape(service))") }
        let response = try await following(
          .GET, realm + (realm.contains("?") ? "&" : "?") + query.joined(separator: "&"), basic, [], 0, object)
        guard response.status == .ok else { throw await RegistryErrors.error(response, "\(object): token from \(realm)") }
        let body = try await response.body.collect(upTo: 1 << 20)
        guard let token = TokenResponse.token(Array(body.readableBytesView)) else {
          throw ContainerdError(.unauthenticated, "\(object): \(realm) answered without a token")
        }
        return "Bearer \(token)"
      default: continue
      }
    }
    return nil
  }

  private func scheme(_ registry: String) -> String {
    configuration.plainHTTP.contains(registry) || URLText.isLoopback("http://\(registry)") ? "http" : "https"
  }

  private func host(_ registry: String) -> String { registry == "docker.io" ? "registry-1.docker.io" : registry }
}
