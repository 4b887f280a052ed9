import EmbeddedRegistry
import Hashing
import OCI
import Protocols
import RegistryFetcher
import Testing

@Suite struct ResolveTests {
  @Test(arguments: [MediaType.ociManifest, MediaType.dockerManifest]) func aTagResolvesToItsManifest(_ type: String) async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[1, 2, 3]], to: scene.registry, type: type)
      let resolved = try await scene.resolver.resolve(image.reference)
      #expect(resolved.target == image.manifest)
      #expect(resolved.name == image.reference)
      let request = try #require(scene.registry.log.records.first)
      #expect(request.accept.contains(MediaType.ociIndex) && request.accept.contains(MediaType.dockerList))
      #expect(request.userAgent == "containerd-ref")
    }
  }

  @Test func aDigestResolvesToItself() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[1, 2, 3]], to: scene.registry, tag: nil)
      #expect(try await scene.resolver.resolve(image.reference).target == image.manifest)
    }
  }

  @Test func whatTheRegistryDoesNotHaveIsNotFound() async throws {
    try await Scene.with { scene in
      let error = try await failure { try await scene.resolver.resolve("\(scene.registry.address)/app:none") }
      #expect(error.code == .notFound)
      #expect(error.message.contains("MANIFEST_UNKNOWN"))
      #expect(scene.registry.log.records.count == 1, "a refusal that will not pass is not tried again")
    }
  }

  @Test func aManifestThatIsNotWhatTheDigestSaysIsRefused() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[1, 2, 3]], to: scene.registry, tag: nil)
      scene.registry.faults.add(.corrupt(byte: 5), to: .manifests)
      #expect(try await failure { try await scene.resolver.resolve(image.reference) }.code == .failedPrecondition)
    }
  }

  @Test func aRegistryThatNamesAnotherDigestThanItSendsIsRefused() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[1, 2, 3]], to: scene.registry)
      scene.registry.faults.add(.header("Docker-Content-Digest", "sha256:" + String(repeating: "0", count: 64)), to: .manifests)
      #expect(try await failure { try await scene.resolver.resolve(image.reference) }.code == .failedPrecondition)
    }
  }

  @Test func theDigestHeaderMayBeMissingOrStrangeAndHEADUnknown() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[1, 2, 3]], to: scene.registry)
      scene.registry.faults.add(.noHead)
      scene.registry.faults.add(.header("Docker-Content-Digest", nil), to: .manifests, times: 1)
      #expect(try await scene.resolver.resolve(image.reference).target == image.manifest)
      scene.registry.faults.add(.header("Docker-Content-Digest", "blake3:00"), to: .manifests, times: 1)
      #expect(try await scene.resolver.resolve(image.reference).target == image.manifest)
    }
  }

  @Test func aContentTypeThatSaysNothingLeavesItToTheManifest() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[1, 2, 3]], to: scene.registry)
      for type in [nil, "application/json", "\(MediaType.ociManifest); charset=utf-8"] {
        scene.registry.faults.add(.header("Content-Type", type), to: .manifests, times: 1)
        #expect(try await scene.resolver.resolve(image.reference).target == image.manifest)
      }
    }
  }

  @Test func aManifestOfAnUnknownKindIsNotImplemented() async throws {
    try await Scene.with { scene in
      let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
      _ = try await scene.registry.add(manifest: Array("{\"schemaVersion\":1}".utf8), mediaType: schema1, to: "app", tag: "old")
      let error = try await failure { try await scene.resolver.resolve("\(scene.registry.address)/app:old") }
      #expect(error.code == .notImplemented)
      #expect(error.message.contains(schema1))
    }
  }

  @Test func aManifestThatIsTooLargeIsRefusedBeforeItFillsTheMemory() async throws {
    try await Scene.with { scene in
      let bytes = Array("{\"schemaVersion\":2}".utf8) + [UInt8](repeating: 0x20, count: Int(ImageDocument.maximumSize))
      _ = try await scene.registry.add(manifest: bytes, mediaType: MediaType.ociManifest, to: "app", tag: "large")
      let error = try await failure { try await scene.resolver.resolve("\(scene.registry.address)/app:large") }
      #expect(error.code == .resourceExhausted)
    }
  }

  @Test func aStrangersWordsCannotDriveTheTerminal() async throws {
    try await Scene.with { scene in
      let body = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"\\u001b[2J\(String(repeating: "x", count: 5000))\"}]}"
      scene.registry.faults.add(.status(403))
      scene.registry.faults.add(.replace(Array(body.utf8)))
      let error = try await failure { try await scene.resolver.resolve("\(scene.registry.address)/app:1") }
      #expect(error.code == .permissionDenied)
      #expect(!error.message.contains("\u{1B}"))
      #expect(error.message.count < 500)
    }
  }

  @Test func aRegistryThatNobodyRunsIsUnavailable() async throws {
    let resolver = RegistryResolver(configuration: .quick)
    // Port 1 on loopback: nobody listens.
    let error = try await failure { try await resolver.resolve("127.0.0.1:1/app:1") }
    #expect(error.code == .unavailable)
    try await resolver.close()
  }

  @Test func onlyLoopbackIsSpokenToInPlainHTTP() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[1]], to: scene.registry)
      // The same registry under a name that is no loopback name is asked for TLS, which it does not have.
      let port = try #require(scene.registry.address.split(separator: ":").last)
      var configuration = RegistryResolver.Configuration.quick
      configuration.attempts = 1
      let name = "0.0.0.0:\(port)"
      let strict = RegistryResolver(configuration: configuration)
      #expect(try await failure { try await strict.resolve("\(name)/app:1") }.code == .unavailable)
      try await strict.close()
      configuration.plainHTTP = [name]
      let configured = RegistryResolver(configuration: configuration)
      #expect(try await configured.resolve("\(name)/app:1").target == image.manifest)
      try await configured.close()
    }
  }
}
