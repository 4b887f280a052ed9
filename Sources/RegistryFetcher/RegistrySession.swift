import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import OCI
import Protocols

/// Requests with everything around them: scheme, authentication, redirects, retries.
final class RegistrySession: Sendable {
  /// One request below `/v2/REPOSITORY/`.
  struct Call: Sendable {
    var image: ImageReference
    var path: String
    var accept: [String] = []
    var offset: Int64 = 0
    /// What an error names.
    var object: String
  }

  let configuration: RegistryResolver.Configuration
  let authorizer = Authorizer()
  private let client: HTTPClient
  private let retry: Retry

  init(configuration: RegistryResolver.Configuration) {
    self.configuration = configuration
    self.retry = Retry(attempts: max(1, configuration.attempts), firstPause: configuration.firstPause)
    var settings = HTTPClient.Configuration()
    settings.redirectConfiguration = .disallow
    settings.timeout.connect = TimeAmount(configuration.connectTimeout)
    settings.timeout.read = TimeAmount(configuration.idleTimeout)
    // Digests are over the bytes as they are stored.
    settings.decompression = .disabled
    // A refused connection is for our own pauses, not for another's without an end.
    settings.connectionPool.retryConnectionEstablishment = false
    settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 8
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
  }

  func close() async throws { try await client.shutdown() }

  /// The answer, its body still to come. What may pass is tried again; 404 and its like are thrown.
  func open(_ call: Call) async throws -> HTTPClientResponse {
    try await retry(call.object) { try await authorized(call) }
  }

  /// The answer with its body, all of which is tried again.
  func document(_ call: Call, limit: Int64) async throws -> (headers: HTTPHeaders, bytes: [UInt8]) {
    try await retry(call.object) {
      let response = try await authorized(call)
      do {
        let body = try await response.body.collect(upTo: Int(limit))
        return (response.headers, Array(body.readableBytesView))
      } catch is NIOTooManyBytesError {
        throw ContainerdError(.resourceExhausted, "\(call.object): the manifest is larger than \(limit) bytes")
      }
    }
  }

  private func authorized(_ call: Call) async throws -> HTTPClientResponse {
    let address = try address(of: call)
    let key = Authorizer.Key(registry: call.image.registry, scope: TokenScope.pull(call.image.repository))
    var authorization = await authorizer.authorization(key)
    var response = try await following(address, call, authorization)
    if response.status == .unauthorized {
      let challenges = response.headers["WWW-Authenticate"].flatMap { AuthChallenge.parse($0) }
      let fresh = try await authorizer.renew(key, refused: authorization) { try await self.answer(challenges, from: address, call) }
      if let fresh, fresh != authorization {
        await Self.discard(response)
        authorization = fresh
        response = try await following(address, call, authorization)
      }
    }
    if (200..<300).contains(response.status.code) || response.status == .rangeNotSatisfiable { return response }
    let error = await RegistryErrors.error(response, call.object)
    throw Retry.isTransient(response.status) ? Transient(cause: error, after: Retry.after(response.headers)) : error
  }

  /// One request and the redirects that it meets. Credentials stay with the origin that they were made for.
  func following(_ start: WebAddress, _ call: Call, _ authorization: String?) async throws -> HTTPClientResponse {
    var address = start
    var authorization = authorization
    for _ in 0..<10 {
      var request = HTTPClientRequest(url: address.description)
      for type in call.accept { request.headers.add(name: "Accept", value: type) }
      request.headers.add(name: "Accept-Encoding", value: "identity")
      request.headers.add(name: "User-Agent", value: configuration.userAgent)
      if call.offset > 0 { request.headers.add(name: "Range", value: "bytes=\(call.offset)-") }
      if let authorization { request.headers.add(name: "Authorization", value: authorization) }
      let response = try await client.execute(request, deadline: .distantFuture)
      guard [301, 302, 303, 307, 308].contains(response.status.code) else { return response }
      guard let location = response.headers.first(name: "Location"), let next = address.resolving(location) else {
        throw ContainerdError.failedPrecondition("\(call.object): \(address) redirects to nowhere that HTTP knows")
      }
      await Self.discard(response)
      if address.origin.scheme == .https && next.origin.scheme == .http {
        throw ContainerdError(.permissionDenied, "\(call.object): \(address) redirects to plain HTTP, \(next)")
      }
      if next.origin != address.origin { authorization = nil }
      address = next
    }
    throw ContainerdError.failedPrecondition("\(call.object): more than 10 redirects")
  }

  /// Reads a short body to its end, so that the connection can be used again.
  static func discard(_ response: HTTPClientResponse) async {
    // Whatever is wrong with a body that nobody wants, the connection bears it.
    _ = try? await response.body.collect(upTo: 64 << 10)
  }

  private func address(of call: Call) throws -> WebAddress {
    let registry = call.image.registry
    let host = registry == "docker.io" ? "registry-1.docker.io" : registry
    guard let plain = WebAddress("http://\(host)/v2/\(call.image.repository)/\(call.path)") else {
      throw ContainerdError.invalidArgument("\(call.object): registry \"\(registry)\"")
    }
    if plain.isLoopback || configuration.plainHTTP.contains(registry) { return plain }
    guard let address = WebAddress("https://\(host)\(plain.target)") else { throw ContainerdError.invalidArgument("\(call.object): registry \"\(registry)\"") }
    return address
  }
}

extension TimeAmount {
  fileprivate init(_ duration: Duration) {
    self = .nanoseconds(duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000)
  }
}
