import EmbeddedRegistry
import Foundation
import Hashing
import OCI
import Protocols
import RegistryFetcher
import Synchronization
import TestSupport
import Testing

/// `registry.example` does not exist: all that is known of it is on the hosts that are configured for it.
@Suite struct MirrorTests {
  struct Scene: Sendable {
    let mirror: EmbeddedRegistry
    let origin: EmbeddedRegistry
    let resolver: RegistryResolver

    func read(_ descriptor: Descriptor, _ range: Range<Int64>) async throws -> [UInt8] {
      try await resolver.fetcher(for: "registry.example/app:1").read(descriptor, range)
    }
  }

  /// A mirror and an origin that have nothing yet.
  static func with(
    mirror authentication: RegistryAuthentication = .none, capabilities: Set<RegistryHost.Capability> = [.pull, .resolve], rest: Duration = .seconds(30),
    credentials: CredentialSource = [:], _ body: @Sendable (Scene) async throws -> Void
  ) async throws {
    let scratch = [ScratchDirectory("ref-mirror"), ScratchDirectory("ref-origin")]
    try await EmbeddedRegistry.with(.init(root: scratch[0].path, authentication: authentication)) { mirror in
      try await EmbeddedRegistry.with(.init(root: scratch[1].path)) { origin in
        var configuration = RegistryResolver.Configuration.quick
        configuration.mirrorRest = rest
        configuration.credentials = credentials
        configuration.hosts = { registry in
          registry != "registry.example"
            ? nil : RegistryHosts(mirrors: [RegistryHost(address: mirror.origin, capabilities: capabilities)], server: RegistryHost(address: origin.origin))
        }
        let resolver = RegistryResolver(configuration: configuration)
        do { try await body(Scene(mirror: mirror, origin: origin, resolver: resolver)) } catch {
          try await resolver.close()
          throw error
        }
        try await resolver.close()
      }
    }
  }

  static let bytes = TestImage.bytes(500_000)

  @Test func theMirrorServesAndTheOriginIsNotAsked() async throws {
    try await Self.with { scene throws in
      let image = try await TestImage.push([Self.bytes], to: scene.mirror)
      #expect(try await scene.resolver.resolve("registry.example/app:1").target == image.manifest)
      #expect(try await scene.read(image.layers[0], 5..<10) == Array(Self.bytes[5..<10]))
      #expect(scene.origin.log.records.isEmpty)
      #expect(scene.mirror.log.records.allSatisfy { $0.path.hasSuffix("?ns=registry.example") }, "a mirror is told for whom it stands")
    }
  }

  @Test func whatTheMirrorHasNotComesFromTheOriginAndItIsAskedAgain() async throws {
    try await Self.with { scene throws in
      let blob = try await TestImage.add(Self.bytes, TestImage.layerType, to: scene.origin)
      for _ in 0..<2 { #expect(try await scene.read(blob, 5..<10) == Array(Self.bytes[5..<10])) }
      #expect(scene.mirror.log.records.map(\.status) == [404, 404])
      #expect(scene.origin.log.records.map(\.status) == [206, 206])
    }
  }

  @Test(arguments: [500, 503, 429, 403, 401]) func aMirrorThatFailsIsAskedOnceAndLeftAWhile(_ status: Int) async throws {
    try await Self.with(rest: .seconds(2)) { scene throws in
      for registry in [scene.mirror, scene.origin] { _ = try await TestImage.push([Self.bytes], to: registry) }
      let blob = try await TestImage.add(Self.bytes, TestImage.layerType, to: scene.origin)
      scene.mirror.faults.add(.status(status, headers: ["Retry-After": "60"]))
      let began = ContinuousClock.now
      for _ in 0..<3 { #expect(try await scene.read(blob, 5..<10) == Array(Self.bytes[5..<10])) }
      if ContinuousClock.now - began < .seconds(2) { #expect(scene.mirror.log.records.count == 1) }
      scene.mirror.faults.clear()
      try await Task.sleep(until: began + .milliseconds(2500))
      while scene.mirror.log.records.last?.status != 206 { _ = try await scene.read(blob, 5..<10) }
      let before = scene.origin.log.records.count
      #expect(try await scene.read(blob, 5..<10) == Array(Self.bytes[5..<10]))
      #expect(scene.origin.log.records.count == before)
    }
  }

  @Test func aMirrorThatIsNotThereIsPassed() async throws {
    try await Self.with { scene throws in
      let image = try await TestImage.push([Self.bytes], to: scene.origin)
      var configuration = RegistryResolver.Configuration.quick
      let origin = scene.origin.origin
      configuration.hosts = { _ in
        RegistryHosts(
          mirrors: [RegistryHost(address: "http://127.0.0.1:1"), RegistryHost(address: "https://127.0.0.1:2")], server: RegistryHost(address: origin))
      }
      let resolver = RegistryResolver(configuration: configuration)
      #expect(try await resolver.resolve("registry.example/app:1").target == image.manifest)
      let error = try await failure { try await resolver.resolve("registry.example/app:2") }
      #expect(error.code == .notFound)
      try await resolver.close()
    }
  }

  @Test func whenAllFailTheErrorNamesThemAll() async throws {
    try await Self.with { scene throws in
      scene.mirror.faults.add(.status(503))
      scene.origin.faults.add(.status(500))
      let error = try await failure { try await scene.resolver.resolve("registry.example/app:1") }
      #expect(error.code == .unavailable)
      #expect(error.message.contains(scene.mirror.address) && error.message.contains("503") && error.message.contains("500"))
    }
  }

  @Test func aMirrorWithoutTheCapabilityIsNotAskedForTags() async throws {
    try await Self.with(capabilities: [.pull]) { scene throws in
      let stale = try await TestImage.push([[1]], to: scene.mirror)
      let image = try await TestImage.push([Self.bytes], to: scene.origin)
      #expect(try await scene.resolver.resolve("registry.example/app:1").target == image.manifest)
      #expect(scene.mirror.log.records.isEmpty)
      #expect(try await scene.resolver.resolve("registry.example/app@\(stale.manifest.digest)").target == stale.manifest, "a digest is pulled, not believed")
    }
  }

  @Test func aMirrorThatLiesIsPassed() async throws {
    try await Self.with { scene throws in
      let image = try await TestImage.push([Self.bytes], to: scene.origin)
      _ = try await TestImage.push([Self.bytes], to: scene.mirror)
      scene.mirror.faults.add(.replace(Array("{}".utf8)))
      #expect(try await scene.resolver.resolve("registry.example/app@\(image.manifest.digest)").target == image.manifest)
    }
  }

  @Test func aTransferThatTheMirrorBreaksOffGoesOnAtTheOrigin() async throws {
    try await Self.with { scene throws in
      for registry in [scene.mirror, scene.origin] { _ = try await TestImage.add(Self.bytes, TestImage.layerType, to: registry) }
      let blob = Descriptor(mediaType: TestImage.layerType, digest: .of(Self.bytes), size: Int64(Self.bytes.count))
      scene.mirror.faults.add(.cut(afterBytes: 100_000))
      #expect(try await scene.read(blob, 50_000..<400_000) == Array(Self.bytes[50_000..<400_000]))
      #expect(scene.mirror.log.records.count == 1)
      let stream = try await scene.resolver.fetcher(for: "registry.example/app:1").fetch(blob, from: 0)
      var bytes: [UInt8] = []
      while let piece = try await stream.next() { bytes += piece }
      #expect(bytes == Self.bytes)
    }
  }

  @Test func theMirrorGetsItsOwnCredentialsAndNotTheRegistrys() async throws {
    let asked = Mutex<[String]>([])
    let credentials = CredentialSource { registry in
      asked.withLock { $0.append(registry) }
      return registry.hasPrefix("127.0.0.1") ? .init(user: "me", password: "secret") : .init(user: "origin", password: "other")
    }
    try await Self.with(mirror: .bearer(.init(users: ["me": "secret"], allowsAnonymous: false)), credentials: credentials) { scene throws in
      let image = try await TestImage.push([[1]], to: scene.mirror)
      #expect(try await scene.resolver.resolve("registry.example/app:1").target == image.manifest)
      #expect(asked.withLock { $0 } == [scene.mirror.address])
    }
  }

  @Test func aPathBelongsToTheMirrorsAddress() async throws {
    try await Self.with { scene throws in
      let image = try await TestImage.push([[1]], to: scene.origin)
      var configuration = RegistryResolver.Configuration.quick
      let mirror = scene.mirror.origin
      let origin = scene.origin.origin
      configuration.hosts = { _ in
        RegistryHosts(
          mirrors: [
            RegistryHost(address: "\(mirror)/cache/"), RegistryHost(address: "\(mirror)/other/v2"), RegistryHost(address: "\(mirror)/whole", isWholePath: true),
          ], server: RegistryHost(address: "\(origin)/v2"))
      }
      let resolver = RegistryResolver(configuration: configuration)
      #expect(try await resolver.resolve("registry.example/app:1").target == image.manifest)
      #expect(
        scene.mirror.log.records.compactMap { $0.path.split(separator: "?").first }
          == ["/cache/v2/app/manifests/1", "/other/v2/app/manifests/1", "/whole/app/manifests/1"])
      try await resolver.close()
    }
  }

  @Test func aHostThatIsNoAddressIsNamed() async throws {
    var configuration = RegistryResolver.Configuration.quick
    configuration.hosts = { _ in RegistryHosts(mirrors: [RegistryHost(address: "http://user@mirror")]) }
    let resolver = RegistryResolver(configuration: configuration)
    let error = try await failure { try await resolver.resolve("registry.example/app:1") }
    #expect(error.code == .invalidArgument)
    #expect(error.message.contains("user@mirror"))
    configuration.hosts = { _ in RegistryHosts(server: RegistryHost(address: "https://a.example", capabilities: [.push])) }
    let other = RegistryResolver(configuration: configuration)
    #expect(try await failure { try await other.resolve("registry.example/app:1") }.code == .failedPrecondition)
    try await resolver.close()
    try await other.close()
  }
}
