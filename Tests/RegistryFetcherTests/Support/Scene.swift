import EmbeddedRegistry
import ImagePull
import InMemoryFakes
import OCI
import Protocols
import RegistryFetcher
import TestSupport
import Testing

/// A registry, a resolver that does not wait long, and a store, for the time of a test.
struct Scene: Sendable {
  let registry: EmbeddedRegistry
  let resolver: RegistryResolver
  let content: InMemoryContentStore
  let scratch: ScratchDirectory

  static func with(
    _ authentication: RegistryAuthentication = .none, resolver configuration: RegistryResolver.Configuration = .quick,
    _ body: @Sendable (Scene) async throws -> Void
  ) async throws {
    let scratch = ScratchDirectory("ref-registry")
    try await EmbeddedRegistry.with(.init(root: scratch.path, authentication: authentication)) { registry in
      var configuration = configuration
      // Credentials that tests give for "here" are for this registry, whatever its port.
      if let credentials = configuration.credentials["here"] { configuration.credentials[registry.address] = credentials }
      let resolver = RegistryResolver(configuration: configuration)
      do {
        try await body(Scene(registry: registry, resolver: resolver, content: InMemoryContentStore(), scratch: scratch))
      } catch {
        try await resolver.close()
        throw error
      }
      try await resolver.close()
    }
  }

  func puller(_ platform: Platform = Platform(os: "linux", architecture: "amd64"), parallelism: Int = 3) -> ImagePuller {
    ImagePuller(resolver: resolver, content: content, platform: platform, parallelism: parallelism)
  }

  @discardableResult
  func pull(_ reference: String) async throws -> PulledImage { try await puller().pull(reference) }

  /// A blob's bytes, as the fetcher delivers them. Gates are opened as soon as so many bytes have been read.
  func fetch(_ descriptor: Descriptor, from offset: Int64 = 0, opening gates: [Int: RegistryGate] = [:]) async throws -> [UInt8] {
    let stream = try await resolver.fetcher(for: "\(registry.address)/app:1").fetch(descriptor, from: offset)
    var bytes: [UInt8] = []
    while let piece = try await stream.next() {
      bytes += piece
      gates[bytes.count]?.open()
    }
    return bytes
  }

  func read(_ descriptor: Descriptor, _ range: Range<Int64>) async throws -> [UInt8] {
    try await resolver.fetcher(for: "\(registry.address)/app:1").read(descriptor, range)
  }

  func gets(_ digest: Digest) -> [AccessRecord] { registry.log.records(endingIn: digest.description, method: "GET") }
}

extension RegistryResolver.Configuration {
  static var quick: Self { Self(firstPause: .milliseconds(5), idleTimeout: .seconds(20)) }
  static func quick(user: String, password: String) -> Self {
    var configuration = quick
    configuration.credentials["here"] = .init(user: user, password: password)
    return configuration
  }
}

/// The error class that a call ends with, and its words.
func failure(_ body: () async throws -> some Any) async throws -> ContainerdError {
  try #require(await #expect(throws: ContainerdError.self) { _ = try await body() })
}
