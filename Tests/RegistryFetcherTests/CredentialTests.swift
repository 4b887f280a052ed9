import EmbeddedRegistry
import Foundation
import Protocols
import RegistryFetcher
import Synchronization
import TestSupport
import Testing

@Suite struct CredentialTests {
  static let closed = RegistryAuthentication.bearer(.init(users: ["me": "secret"], identityTokens: ["long-lived"], allowsAnonymous: false))

  @Test func credentialsAreAskedForWithEveryNewTokenAndMayHaveChanged() async throws {
    let asked = Mutex<[String]>([])
    var configuration = RegistryResolver.Configuration.quick
    configuration.credentials = CredentialSource { registry in
      let count = asked.withLock { asked in
        asked.append(registry)
        return asked.count
      }
      return .init(user: "me", password: count == 3 ? "outdated" : "secret")
    }
    try await Scene.with(Self.closed, resolver: configuration) { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      for _ in 0..<3 { _ = try await scene.resolver.resolve(image.reference) }
      #expect(asked.withLock { $0 } == [scene.registry.address], "the token is good for all of them")
      scene.registry.revokeTokens()
      _ = try await scene.resolver.resolve(image.reference)
      scene.registry.revokeTokens()
      #expect(try await failure { try await scene.resolver.resolve(image.reference) }.code == .unauthenticated)
      _ = try await scene.resolver.resolve(image.reference)
      #expect(asked.withLock { $0.count } == 4)
    }
  }

  @Test func aPasswordIsAskedForAgainWhenTheRegistryRefusesIt() async throws {
    let password = Mutex("old")
    var configuration = RegistryResolver.Configuration.quick
    configuration.credentials = CredentialSource { _ in .init(user: "me", password: password.withLock { $0 }) }
    try await Scene.with(.basic(user: "me", password: "secret"), resolver: configuration) { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      #expect(try await failure { try await scene.resolver.resolve(image.reference) }.code == .unauthenticated)
      password.withLock { $0 = "secret" }
      #expect(try await scene.resolver.resolve(image.reference).target == image.manifest)
    }
  }

  @Test func whatTheSourceThrowsEndsTheRequest() async throws {
    var configuration = RegistryResolver.Configuration.quick
    configuration.credentials = CredentialSource { throw ContainerdError.unavailable("the safe of \($0) is locked") }
    try await Scene.with(Self.closed, resolver: configuration) { scene in
      let error = try await failure { try await scene.resolver.resolve("\(scene.registry.address)/app:1") }
      #expect(error.message == "the safe of \(scene.registry.address) is locked")
    }
  }

  @Test func credentialsGivenOutrightGoBeforeTheSource() async throws {
    var configuration = RegistryResolver.Configuration.quick
    configuration.credentials = CredentialSource { _ in .init(user: "me", password: "wrong") }
    configuration.credentials["here"] = .init(user: "me", password: "secret")
    try await Scene.with(Self.closed, resolver: configuration) { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      #expect(try await scene.resolver.resolve(image.reference).target == image.manifest)
    }
  }

  @Test func anIdentityTokenBecomesATokenByPost() async throws {
    var configuration = RegistryResolver.Configuration.quick
    configuration.credentials["here"] = .init(identityToken: "long-lived")
    try await Scene.with(Self.closed, resolver: configuration) { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      #expect(try await scene.resolver.resolve(image.reference).target == image.manifest)
      let asked = scene.registry.log.records(endingIn: "/token")
      #expect(asked.map(\.method) == ["POST"])
      #expect(asked.map(\.path) == ["/token"], "no secret in the address")
    }
  }

  @Test func anIdentityTokenIsNotSentOnToAnotherOrigin() async throws {
    var configuration = RegistryResolver.Configuration.quick
    configuration.credentials["here"] = .init(identityToken: "long-lived")
    try await Scene.with(Self.closed, resolver: configuration) { scene in
      try await RedirectTests.withOther(scene) { other throws in
        scene.registry.faults.add(.redirect(to: other.origin), to: .token)
        let error = try await failure { try await scene.resolver.resolve("\(scene.registry.address)/app:1") }
        #expect(error.code == .permissionDenied)
        #expect(!error.message.contains("long-lived"))
        #expect(other.log.records.isEmpty)
      }
    }
  }

  @Test func credentialsDoNotShowTheirSecrets() {
    var text = ""
    for credentials in [RegistryResolver.Credentials(user: "me", password: "hidden"), .init(identityToken: "hidden")] {
      dump(credentials, to: &text)
      text += "\(credentials) \(String(reflecting: credentials)) \(String(reflecting: ["a": credentials]))"
    }
    #expect(text.contains("me") && !text.contains("hidden"))
  }
}
