import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import OCI
import Protocols

/// Requests with everything around them: scheme, authentication, redirects, retries.
final class RegistrySession: Sendable {
  /// One request about a repository.
  struct Call: Sendable {
    var image: ImageReference
    /// Below the repository's name.
    var path: String
    var method: HTTPMethod = .GET
    var payload: Payload?
    var accept: [String] = []
    var range: RequestRange?
    var capability = RegistryHost.Capability.pull
    /// What an error names.
    var object: String
  }

  /// What an answer came from: a redirect may have led away from the registry.
  private struct Answer {
    var response: HTTPClientResponse
    /// Who answered.
    var address: WebAddress
    var isFromRegistry: Bool
    var authorization: String?

    /// Whether asking afresh may help: a redirect's address or a token that has run out may be refused by 403 as well, and a 401 from elsewhere is no
    /// question for our credentials.
    var isPerhapsStale: Bool {
      switch response.status {
      case .forbidden: !isFromRegistry || authorization != nil
      case .unauthorized: !isFromRegistry
      default: false
      }
    }
  }

  let configuration: RegistryResolver.Configuration
  let authorizer = Authorizer()
  let book: HostBook
  let turns = Turns()
  private let client: HTTPClient
  private let retry: Retry

  init(configuration: RegistryResolver.Configuration) {
    self.configuration = configuration
    self.book = HostBook(configuration)
    self.retry = Retry(attempts: max(1, configuration.attempts), firstPause: configuration.firstPause)
    var settings = HTTPClient.Configuration()
    settings.redirectConfiguration = .disallow
    settings.timeout.connect = TimeAmount(configuration.connectTimeout)
    settings.timeout.read = TimeAmount(configuration.idleTimeout)
    settings.timeout.write = TimeAmount(configuration.idleTimeout)
    // Digests are over the bytes as they are stored.
    settings.decompression = .disabled
    // A refused connection is for our own pauses, not for another's without an end.
    settings.connectionPool.retryConnectionEstablishment = false
    settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 8
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
  }

  func close() async throws { try await client.shutdown() }

  /// What `take` makes of the answer, and who gave it. The mirrors are asked once each, where they are any, and whatever is wrong with one leads to the next; at
  /// the last resort what may pass is tried again. 404 and its like are thrown.
  func open<Value: Sendable>(
    _ call: Call, _ take: @Sendable (HTTPClientResponse) async throws -> Value
  ) async throws -> (value: Value, endpoint: Endpoint) {
    var endpoints = try await book.endpoints(for: call.image.registry, call.capability)
    let last = endpoints.removeLast()
    var failures: [String] = []
    for endpoint in endpoints {
      do { return (try await take(try await authorized(call, endpoint)), endpoint) } catch {
        if error is CancellationError || Task.isCancelled { throw CancellationError() }
        // A mirror need not have everything.
        if (error as? ContainerdError)?.code != .notFound { await book.rest(endpoint) }
        failures.append("\(endpoint.root.registry): \((error as? Transient)?.cause.message ?? (error as? ContainerdError)?.message ?? "\(error)")")
      }
    }
    do {
      return (try await retry(call.object) { try await take(try await authorized(call, last)) }, last)
    } catch let error as ContainerdError where !failures.isEmpty {
      throw ContainerdError(error.code, "\(error.message) (its mirrors failed before: \(failures.joined(separator: "; ")))")
    }
  }

  /// Does something at the one endpoint that changes are made at; what may pass is tried again.
  func onEndpoint<Value: Sendable>(_ call: Call, _ body: (Endpoint) async throws -> Value) async throws -> Value {
    guard let endpoint = try await book.endpoints(for: call.image.registry, call.capability).last else {
      throw ContainerdError.internalError("\(call.object): no endpoint")
    }
    return try await retrying(call) { try await body(endpoint) }
  }

  func retrying<Value: Sendable>(_ call: Call, _ body: () async throws -> Value) async throws -> Value { try await retry(call.object, body) }

  private func authorized(_ call: Call, _ endpoint: Endpoint) async throws -> HTTPClientResponse {
    try await authorized(call, endpoint, at: endpoint.address(call.image.repository, call.path)).response
  }

  /// The answer of one endpoint, its body still to come, 2xx or 416, and where it came from. `Transient` for what may pass.
  func authorized(_ call: Call, _ endpoint: Endpoint, at address: WebAddress) async throws -> (response: HTTPClientResponse, address: WebAddress) {
    var answer = try await answer(call, endpoint, address)
    if answer.isPerhapsStale {
      await Self.discard(answer.response)
      if answer.isFromRegistry { await authorizer.forget(key(call, endpoint), answer.authorization) }
      answer = try await self.answer(call, endpoint, address)
    }
    let response = answer.response
    if (200..<300).contains(response.status.code) || response.status == .rangeNotSatisfiable { return (response, answer.address) }
    let error = await RegistryErrors.error(response, call.object)
    throw Retry.isTransient(response.status) ? Transient(cause: error, after: Retry.after(response.headers)) : error
  }

  /// Asks, and asks again with a new authorization where the registry wants one.
  private func answer(_ call: Call, _ endpoint: Endpoint, _ address: WebAddress) async throws -> Answer {
    // What the registry has sent us elsewhere for is between us and that place.
    let isOurs = address.origin == endpoint.root.origin
    let authorization = isOurs ? await authorizer.authorization(key(call, endpoint)) : nil
    let (response, end) = try await following(address, call, authorization, endpoint)
    let answer = Answer(response: response, address: end, isFromRegistry: end.origin == endpoint.root.origin, authorization: authorization)
    guard response.status == .unauthorized, answer.isFromRegistry, isOurs else { return answer }
    let challenges = response.headers["WWW-Authenticate"].flatMap { AuthChallenge.parse($0) }
    let fresh = try await authorizer.renew(key(call, endpoint), refused: authorization) { try await self.answer(challenges, from: endpoint, call) }
    guard let fresh, fresh != authorization else { return answer }
    await Self.discard(response)
    let (second, secondEnd) = try await following(address, call, fresh, endpoint)
    return Answer(response: second, address: secondEnd, isFromRegistry: secondEnd.origin == endpoint.root.origin, authorization: fresh)
  }

  private func key(_ call: Call, _ endpoint: Endpoint) -> Authorizer.Key {
    Authorizer.Key(registry: endpoint.root.origin.description, scope: TokenScope.of(call))
  }

  /// One request and the redirects that it meets, and who answered in the end. Credentials stay with the origin that they were made for.
  func following(_ start: WebAddress, _ call: Call, _ authorization: String?, _ endpoint: Endpoint) async throws -> (HTTPClientResponse, WebAddress) {
    var address = start
    var authorization = authorization
    for _ in 0..<10 {
      var request = HTTPClientRequest(url: address.description)
      request.method = call.method
      if address.origin == endpoint.root.origin { request.tlsConfiguration = endpoint.trust }
      try await call.payload?.attach(to: &request)
      for type in call.accept { request.headers.add(name: "Accept", value: type) }
      request.headers.add(name: "Accept-Encoding", value: "identity")
      request.headers.add(name: "User-Agent", value: configuration.userAgent)
      if let range = call.range { request.headers.add(name: "Range", value: range.header) }
      if let authorization { request.headers.add(name: "Authorization", value: authorization) }
      let response = try await client.execute(request, deadline: .distantFuture)
      guard [301, 302, 303, 307, 308].contains(response.status.code) else { return (response, address) }
      guard let location = response.headers.first(name: "Location"), let next = address.resolving(location) else {
        throw ContainerdError.failedPrecondition("\(call.object): \(address) redirects to nowhere that HTTP knows")
      }
      await Self.discard(response)
      // Other statuses would make a GET of it (RFC 9110, 15.4); and what may be secret stays where it was meant to go.
      if let payload = call.payload, ![307, 308].contains(response.status.code) || (payload.isSecret && next.origin != address.origin) {
        throw ContainerdError(.permissionDenied, "\(call.object): \(address) redirects what is sent to it, to \(next.origin.host)")
      }
      if address.origin.scheme == .https && next.origin.scheme == .http {
        throw ContainerdError(.permissionDenied, "\(call.object): \(address) redirects to plain HTTP, \(next)")
      }
      if next.origin != address.origin { authorization = nil }
      address = next
    }
    throw ContainerdError.failedPrecondition("\(call.object): more than 10 redirects")
  }

  /// A body of at most `limit` bytes.
  static func collect(_ response: HTTPClientResponse, upTo limit: Int64, _ object: String) async throws -> [UInt8] {
    do { return Array(try await response.body.collect(upTo: Int(limit)).readableBytesView) } catch is NIOTooManyBytesError {
      throw ContainerdError(.resourceExhausted, "\(object): the answer is larger than \(limit) bytes")
    }
  }

  /// Reads a short body to its end, so that the connection can be used again.
  static func discard(_ response: HTTPClientResponse) async {
    // Whatever is wrong with a body that nobody wants, the connection bears it.
    _ = try? await response.body.collect(upTo: 64 << 10)
  }
}

/// The part of a blob that is asked for (RFC 9110, section 14.1.2).
enum RequestRange: Sendable {
  case from(Int64)
  /// Not empty.
  case part(Range<Int64>)

  var header: String {
    switch self {
    case .from(let offset): "bytes=\(offset)-"
    case .part(let range): "bytes=\(range.lowerBound)-\(range.upperBound - 1)"
    }
  }
}

extension TimeAmount {
  fileprivate init(_ duration: Duration) {
    self = .nanoseconds(duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000)
  }
}
