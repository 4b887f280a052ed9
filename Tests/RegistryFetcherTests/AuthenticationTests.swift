import EmbeddedRegistry
import ImagePull
import InMemoryFakes
import OCI
import Protocols
import RegistryFetcher
import Testing

@Suite struct AuthenticationTests {
  static let bearer = RegistryAuthentication.bearer(.init(service: "the registry", users: ["me": "secret"]))

  @Test func anAnonymousTokenIsAskedForOncePerRepository() async throws {
    try await Scene.with(Self.bearer) { scene in
      let image = try await TestImage.push((0..<4).map { TestImage.bytes(2000, seed: UInt64($0 + 1)) }, to: scene.registry)
      let other = try await TestImage.push([[9]], to: scene.registry, repository: "team/other")
      try await scene.pull(image.reference)
      try await scene.pull(image.reference)
      let tokens = scene.registry.log.records(endingIn: "/token")
      #expect(tokens.map(\.path) == ["/token?scope=repository%3Aapp%3Apull&service=the%20registry"])
      #expect(tokens.map(\.authorization) == [nil])
      #expect(scene.registry.log.records.filter { $0.status == 401 }.count == 1)
      try await scene.pull(other.reference)
      #expect(scene.registry.log.records(endingIn: "/token").count == 2)
    }
  }

  @Test func credentialsGoToTheRealmAndTheTokenToTheRegistry() async throws {
    let closed = RegistryAuthentication.bearer(.init(users: ["me": "secret"], allowsAnonymous: false, field: "access_token"))
    try await Scene.with(closed, resolver: .quick(user: "me", password: "secret")) { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      try await scene.pull(image.reference)
      #expect(scene.registry.log.records(endingIn: "/token").map(\.authorization) == ["Basic"])
      #expect(Set(scene.registry.log.records.filter { $0.path.hasPrefix("/v2/") && $0.status == 200 }.map(\.authorization)) == ["Bearer"])
    }
  }

  @Test func wrongCredentialsAreUnauthenticated() async throws {
    try await Scene.with(Self.bearer, resolver: .quick(user: "me", password: "wrong")) { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      let error = try await failure { try await scene.pull(image.reference) }
      #expect(error.code == .unauthenticated)
      #expect(!error.message.contains("wrong credentials wrong") && !error.message.contains("bWU6d3Jvbmc"), "no secret in an error")
    }
  }

  @Test func noCredentialsForARegistryThatWantsThemIsUnauthenticated() async throws {
    try await Scene.with(.basic(user: "me", password: "secret")) { scene in
      let error = try await failure { try await scene.resolver.resolve("\(scene.registry.address)/app:1") }
      #expect(error.code == .unauthenticated)
      #expect(scene.registry.log.records.count == 1)
    }
  }

  @Test func aTokenThatIsRefusedIsRenewedOnceForAllTransfers() async throws {
    try await Scene.with(Self.bearer) { scene in
      let image = try await TestImage.push((0..<6).map { TestImage.bytes(2000, seed: UInt64($0 + 1)) }, to: scene.registry)
      _ = try await scene.resolver.resolve(image.reference)
      scene.registry.revokeTokens()
      scene.registry.faults.add(.delay(.milliseconds(100)), to: .token)
      try await scene.pull(image.reference)
      #expect(scene.content.digests == image.everything)
      #expect(scene.registry.log.records(endingIn: "/token").count == 2)
    }
  }

  @Test func aTokenThatRunsOutInTheMiddleOfATransferIsRenewed() async throws {
    let brief = RegistryAuthentication.bearer(.init(lifetime: .seconds(3)))
    try await Scene.with(brief) { scene in
      let bytes = TestImage.bytes(400_000)
      let image = try await TestImage.push([bytes], to: scene.registry)
      let path = image.layers[0].digest.description
      scene.registry.faults.add(.throttle(bytesPerSecond: 100_000), to: .path(path))
      scene.registry.faults.add(.cut(afterBytes: 350_000), to: .path(path), times: 1)
      try await scene.pull(image.reference)
      #expect(scene.content.bytes(image.layers[0].digest) == bytes)
      #expect(scene.registry.log.records(endingIn: "/token").count >= 2)
    }
  }

  @Test func aTokenServerThatIsBusyIsAskedAgain() async throws {
    try await Scene.with(Self.bearer) { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      scene.registry.faults.add(.status(503), to: .token, times: 2)
      try await scene.pull(image.reference)
      #expect(scene.registry.log.records(endingIn: "/token").map(\.status) == [503, 503, 200])
    }
  }

  @Test(arguments: ["{}", "", "{\"token\":\"\"}", "[1]"]) func anAnswerWithoutATokenIsUnauthenticated(_ body: String) async throws {
    try await Scene.with(Self.bearer) { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      scene.registry.faults.add(.replace(Array(body.utf8)), to: .token)
      #expect(try await failure { try await scene.pull(image.reference) }.code == .unauthenticated)
    }
  }

  /// Realms that must never see credentials: plain HTTP elsewhere, and addresses that only look like this machine.
  @Test(arguments: [
    "http://192.0.2.1/token", "http://127.0.0.1:1@192.0.2.1/token", "http://127.0.0.1.example.com/token", "http://localhost.example.com/token",
    "http+unix://%2Frun%2Fdocker.sock/token", "ftp://127.0.0.1/token", "127.0.0.1/token", "http://192.0.2.1\\@127.0.0.1/token",
  ]) func aRealmThatCannotBeTrustedIsNotAsked(_ realm: String) async throws {
    try await Scene.with(.bearer(.init(realm: realm)), resolver: .quick(user: "me", password: "secret")) { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      let error = try await failure { try await scene.pull(image.reference) }
      #expect(error.code == .permissionDenied)
      #expect(scene.registry.log.records.count == 1)
    }
  }

  @Test func aTokenServerOfItsOwnIsAskedWithCredentials() async throws {
    let scratch = TestImage.bytes(1)
    try await Scene.with(Self.bearer) { tokens in
      // The registry sends its clients to the other's token server; its tokens are not valid here, and that is where it ends.
      let elsewhere = RegistryAuthentication.bearer(.init(service: "the registry", realm: tokens.registry.origin + "/token"))
      try await Scene.with(elsewhere, resolver: .quick(user: "me", password: "secret")) { scene in
        let image = try await TestImage.push([scratch], to: scene.registry)
        #expect(try await failure { try await scene.pull(image.reference) }.code == .unauthenticated)
        #expect(tokens.registry.log.records.map(\.authorization) == ["Basic"])
        #expect(scene.registry.log.records.map(\.status) == [401, 401])
      }
    }
  }
}
