import AsyncHTTPClient
import Hashing
import NIOCore
import NIOHTTP1
import OCI
import Protocols

/// Talks to registries (OCI distribution-spec 1.1): names to descriptors, descriptors to bytes. Stores nothing.
///
/// Loopback registries are spoken to in plain HTTP, all others in HTTPS unless configured otherwise, with the trust roots of the system. Redirects are
/// followed by ourselves: credentials go to the registry alone, never to where it points. No proxy is used, whatever the environment says.
public final class RegistryResolver: Resolver, ReferrerResolver {
  public struct Configuration: Sendable {
    /// Hosts (with port) that are spoken to in plain HTTP besides loopback.
    public var plainHTTP: Set<String>
    /// Asked each time that a registry wants to know who we are.
    public var credentials: CredentialSource
    /// Mirrors of a registry, and what is asked in its place; nil for what its name says. Asked again every few seconds at most.
    public var hosts: @Sendable (_ registry: String) async throws -> RegistryHosts? = { _ in nil }
    /// For how long a mirror that failed is not asked.
    public var mirrorRest = Duration.seconds(30)
    /// Attempts for one request or one interruption of a transfer.
    public var attempts: Int
    /// The pause before the second attempt; it doubles, up to ten seconds.
    public var firstPause: Duration
    public var connectTimeout: Duration
    /// Longest silence before a transfer counts as interrupted.
    public var idleTimeout: Duration
    public var userAgent: String

    public init(
      plainHTTP: Set<String> = [], credentials: CredentialSource = [:], attempts: Int = 5, firstPause: Duration = .milliseconds(200),
      connectTimeout: Duration = .seconds(10), idleTimeout: Duration = .seconds(30), userAgent: String = "containerd-ref"
    ) {
      self.plainHTTP = plainHTTP
      self.credentials = credentials
      self.attempts = attempts
      self.firstPause = firstPause
      self.connectTimeout = connectTimeout
      self.idleTimeout = idleTimeout
      self.userAgent = userAgent
    }

    /// Credentials by registry that stay as they are.
    public init(
      plainHTTP: Set<String> = [], credentials: [String: Credentials], attempts: Int = 5, firstPause: Duration = .milliseconds(200),
      connectTimeout: Duration = .seconds(10), idleTimeout: Duration = .seconds(30), userAgent: String = "containerd-ref"
    ) {
      self.init(
        plainHTTP: plainHTTP, credentials: CredentialSource(credentials), attempts: attempts, firstPause: firstPause, connectTimeout: connectTimeout,
        idleTimeout: idleTimeout, userAgent: userAgent)
    }
  }

  private let session: RegistrySession

  public init(configuration: Configuration = Configuration()) { self.session = RegistrySession(configuration: configuration) }

  /// To be called when the resolver is done with.
  public func close() async throws { try await session.close() }

  public func resolve(_ reference: String) async throws -> ResolvedImage {
    let image = try ImageReference(parsing: reference)
    let object = "\(image)"
    let call = RegistrySession.Call(
      image: image, path: "manifests/\(image.target)", accept: MediaType.manifests, capability: image.digest == nil ? .resolve : .pull, object: object)
    let (target, _) = try await session.open(call) { response in
      let bytes = try await RegistrySession.collect(response, upTo: ImageDocument.maximumSize, object)
      // A name with a digest is verified with that digest's own algorithm.
      let digest = Digest.of(bytes, image.digest?.algorithm ?? .sha256)
      if let wanted = image.digest, wanted != digest {
        throw ContainerdError.failedPrecondition("\(object): the registry sent a manifest with the digest \(digest)")
      }
      // The header is a courtesy: a registry may leave it out, or name an algorithm that we do not know.
      let said = response.headers.first(name: "Docker-Content-Digest").flatMap { try? Digest(parsing: $0) }
      if let said, said != Digest.of(bytes, said.algorithm) {
        throw ContainerdError.failedPrecondition("\(object): the registry names the digest \(said), but its manifest has \(Digest.of(bytes, said.algorithm))")
      }
      return Descriptor(mediaType: try mediaType(response.headers, bytes, object), digest: digest, size: Int64(bytes.count))
    }
    return ResolvedImage(name: image.description, target: target)
  }

  public func fetcher(for reference: String) throws -> any Fetcher { RegistryFetcher(session: session, image: try ImageReference(parsing: reference)) }

  /// For pushing to the repository that the reference names. Does no network call.
  public func pusher(for reference: String) throws -> any Pusher { RegistryPusher(session: session, image: try ImageReference(parsing: reference)) }

  public func referrers(for reference: String) throws -> any ReferrerSource {
    RegistryReferrers(session: session, image: try ImageReference(parsing: reference))
  }

  /// What the registry calls the manifest; where that says nothing, what it calls itself.
  private func mediaType(_ headers: HTTPHeaders, _ bytes: [UInt8], _ object: String) throws -> String {
    let header = headers.first(name: "Content-Type")?.split(separator: ";").first.map { $0.filter { $0 != " " }.lowercased() } ?? ""
    for type in [header, try ImageDocument.mediaType(of: bytes) ?? ""] where MediaType.isIndex(type) || MediaType.isManifest(type) { return type }
    throw ContainerdError.notImplemented("\(object): manifest of media type \"\(RegistryErrors.printable(header))\"")
  }
}
