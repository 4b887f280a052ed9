import AsyncHTTPClient
import Hashing
import NIOCore
import NIOHTTP1
import OCI
import Protocols

/// Talks to registries (OCI distribution-spec 1.1): names to descriptors, descriptors to bytes. Stores nothing.
///
/// Loopback registries are spoken to in plain HTTP, all others in HTTPS unless configured otherwise. Redirects are followed by ourselves: credentials go to the registry alone, never to where it points.
public final class RegistryResolver: Resolver {
  public struct Configuration: Sendable {
    /// Hosts (with port) that are spoken to in plain HTTP besides loopback.
    public var plainHTTP: Set<String>
    public var credentials: [String: Credentials]
    /// Attempts for one request or one interruption of a transfer.
    public var attempts: Int
    /// Longest silence before a transfer counts as interrupted.
    public var idleTimeout: Duration

    public init(plainHTTP: Set<String> = [], credentials: [String: Credentials] = [:], attempts: Int = 5, idleTimeout: Duration = .seconds(30)) {
      self.plainHTTP = plainHTTP
      self.credentials = credentials
      self.attempts = attempts
      self.idleTimeout = idleTimeout
    }
  }

  public struct Credentials: Hashable, Sendable {
    public var user: String
    public var password: String
    public init(user: String, password: String) {
      self.user = user
      self.password = password
    }
  }

  let configuration: Configuration
  let session: RegistrySession

  public init(configuration: Configuration = Configuration()) {
    self.configuration = configuration
    self.session = RegistrySession(configuration: configuration)
  }

  /// To be called when the resolver is done with.
  public func close() async throws { try await session.close() }

  public func resolve(_ reference: String) async throws -> ResolvedImage {
    let image = try ImageReference(parsing: reference)
    let object = "\(image)"
    let response = try await session.request(.GET, image, path: "manifests/\(image.target)", accept: MediaType.manifests, object: object)
    guard response.status == .ok else { throw await RegistryErrors.error(response, object) }
    let body = try await response.body.collect(upTo: Int(ImageDocument.maximumSize))
    let bytes = Array(body.readableBytesView)
    let digest = Digest.of(bytes)
    if let wanted = image.digest, wanted != digest, wanted.algorithm == .sha256 {
      throw ContainerdError.failedPrecondition("\(object): the registry sent a manifest with the digest \(digest)")
    }
    if let said = response.headers.first(name: "Docker-Content-Digest"), said != digest.description, said.hasPrefix("sha256:") {
      throw ContainerdError.failedPrecondition("\(object): the registry names the digest \(said), but its manifest has \(digest)")
    }
    let type = response.headers.first(name: "Content-Type")?.split(separator: ";").first.map(String.init) ?? ""
    guard MediaType.isIndex(type) || MediaType.isManifest(type) else {
      throw ContainerdError.notImplemented("\(object): manifest of media type \"\(type)\"")
    }
    return ResolvedImage(name: image.description, target: Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count)))
  }

  public func fetcher(for reference: String) throws -> any Fetcher {
    RegistryFetcher(session: session, image: try ImageReference(parsing: reference), attempts: configuration.attempts)
  }
}
