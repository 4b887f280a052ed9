import EmbeddedRegistry
import ImagePull
import InMemoryFakes
import OCI
import Protocols
import RegistryFetcher
import TestSupport
import Testing

@Suite struct RedirectTests {
  /// A second registry on the same directory: another origin that has the same blobs.
  static func withOther(_ scene: Scene, _ body: @Sendable (EmbeddedRegistry) async throws -> Void) async throws {
    try await EmbeddedRegistry.with(.init(root: scene.scratch.path), body)
  }

  @Test(arguments: [301, 302, 303, 307, 308]) func aRedirectIsFollowedToAnotherOriginWithoutCredentials(_ status: Int) async throws {
    try await Scene.with(.basic(user: "me", password: "secret"), resolver: .quick(user: "me", password: "secret")) { scene in
      try await Self.withOther(scene) { other in
        let image = try await TestImage.push([TestImage.bytes(1000)], to: scene.registry)
        scene.registry.faults.add(.redirect(status, to: other.origin), to: .blobs)
        try await scene.pull(image.reference)
        #expect(scene.content.digests == image.everything)
        #expect(other.log.records.count == 2)
        #expect(other.log.records.allSatisfy { $0.authorization == nil })
        #expect(scene.registry.log.records.last?.authorization == "Basic")
      }
    }
  }

  @Test func theRangeGoesWithTheRedirect() async throws {
    try await Scene.with { scene in
      try await Self.withOther(scene) { other in
        let bytes = TestImage.bytes(500_000)
        let blob = try await TestImage.add(bytes, TestImage.layerType, to: scene.registry)
        scene.registry.faults.add(.redirect(to: other.origin), to: .blobs)
        let gate = RegistryGate()
        other.faults.add(.cutAtGate(afterBytes: 200_000, gate), times: 1)
        #expect(try await scene.fetch(blob, opening: [200_000: gate]) == bytes)
        #expect(other.log.records.map(\.range) == [nil, "bytes=200000-"])
        #expect(scene.registry.log.records.count == 2, "the registry is asked again: the address that it gave may have run out")
      }
    }
  }

  @Test func credentialsStayWithinTheOrigin() async throws {
    try await Scene.with(.basic(user: "me", password: "secret"), resolver: .quick(user: "me", password: "secret")) { scene in
      let image = try await TestImage.push([TestImage.bytes(10)], to: scene.registry)
      scene.registry.faults.add(.redirect(to: scene.registry.origin), to: .manifests, times: 2)
      #expect(try await scene.resolver.resolve(image.reference).target == image.manifest, "a redirect to the registry itself keeps them")
    }
  }

  @Test func aCircleOfRedirectsEnds() async throws {
    try await Scene.with { scene in
      scene.registry.faults.add(.redirect(to: scene.registry.origin))
      let error = try await failure { try await scene.resolver.resolve("\(scene.registry.address)/app:1") }
      #expect(error.code == .failedPrecondition)
      #expect(error.message.contains("redirects"))
      #expect(scene.registry.log.records.count == 10)
    }
  }

  @Test(arguments: ["http+unix://%2Frun%2Fdocker.sock", "file://", "http://user@127.0.0.1:1", "gopher://127.0.0.1:1"])
  func aRedirectOutOfHTTPIsRefused(_ origin: String) async throws {
    try await Scene.with { scene in
      scene.registry.faults.add(.redirect(to: origin))
      let error = try await failure { try await scene.resolver.resolve("\(scene.registry.address)/app:1") }
      #expect(error.code == .failedPrecondition)
      #expect(scene.registry.log.records.count == 1)
    }
  }

  @Test func aRedirectWithoutALocationIsAnError() async throws {
    try await Scene.with { scene in
      scene.registry.faults.add(.status(307))
      let error = try await failure { try await scene.resolver.resolve("\(scene.registry.address)/app:1") }
      #expect(error.code == .failedPrecondition)
    }
  }
}
