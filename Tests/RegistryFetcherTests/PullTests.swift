import EmbeddedRegistry
import Hashing
import ImagePull
import InMemoryFakes
import LocalContentStore
import OCI
import Protocols
import RegistryFetcher
import Synchronization
import TestSupport
import Testing

@Suite struct PullTests {
  @Test(arguments: [MediaType.ociManifest, MediaType.dockerManifest]) func anImageArrivesWholeAndASecondPullFetchesNoBlob(_ type: String) async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([TestImage.bytes(300_000), TestImage.bytes(10, seed: 2)], to: scene.registry, type: type)
      let pulled = try await scene.pull(image.reference)
      #expect(pulled.manifest == image.manifest)
      #expect(pulled.layers == image.layers)
      #expect(scene.content.digests == image.everything)
      scene.registry.log.clear()
      try await scene.pull(image.reference)
      #expect(scene.registry.log.records.map(\.path) == ["/v2/app/manifests/1"], "only the name is asked for")
    }
  }

  @Test func anIndexLeadsToThePlatformsManifestAndNothingElseIsFetched() async throws {
    try await Scene.with { scene in
      let amd64 = try await TestImage.push([TestImage.bytes(100, seed: 1)], to: scene.registry, tag: nil, config: Array("{\"a\":1}".utf8))
      let armv6 = try await TestImage.push([TestImage.bytes(100, seed: 2)], to: scene.registry, tag: nil, config: Array("{\"a\":2}".utf8))
      let armv7 = try await TestImage.push([TestImage.bytes(100, seed: 3)], to: scene.registry, tag: nil, config: Array("{\"a\":3}".utf8))
      let attestation = try await TestImage.push([TestImage.bytes(100, seed: 4)], to: scene.registry, tag: nil, config: Array("{\"a\":4}".utf8))
      let index = try await TestImage.pushIndex(
        [
          .init(
            attestation.manifest, platform: ["os": "unknown", "architecture": "unknown"], annotations: ["vnd.docker.reference.type": "attestation-manifest"]),
          .init(armv6.manifest, platform: ["os": "linux", "architecture": "arm", "variant": "v6"]),
          .init(amd64.manifest, platform: ["os": "linux", "architecture": "amd64"]),
          .init(armv7.manifest, platform: ["os": "linux", "architecture": "arm", "variant": "v7"]),
        ], to: scene.registry)
      let reference = "\(scene.registry.address)/app:index"
      let pulled = try await scene.pull(reference)
      #expect(pulled.target == index)
      #expect(pulled.manifest.digest == amd64.manifest.digest)
      #expect(scene.content.digests == amd64.everything.union([index.digest]))
      let arm = try await scene.puller(Platform(os: "linux", architecture: "arm", variant: "v7")).pull(reference)
      #expect(arm.manifest.digest == armv7.manifest.digest)
      let error = try await failure { try await scene.puller(Platform(os: "linux", architecture: "s390x")).pull(reference) }
      #expect(error.code == .notFound)
      #expect(error.message.contains("s390x"))
    }
  }

  @Test func aDockerManifestListIsAnIndexToo() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[1, 2]], to: scene.registry, tag: nil, type: MediaType.dockerManifest)
      let list = try await TestImage.pushIndex(
        [.init(image.manifest, platform: ["os": "linux", "architecture": "amd64"])], to: scene.registry, type: MediaType.dockerList)
      let pulled = try await scene.pull("\(scene.registry.address)/app:index")
      #expect(pulled.target == list)
      #expect(pulled.manifest.digest == image.manifest.digest)
    }
  }

  @Test func anIndexInAnIndexIsFollowedButNotForEver() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[1, 2]], to: scene.registry, tag: nil)
      var inner = try await TestImage.pushIndex([.init(image.manifest, platform: ["os": "linux", "architecture": "amd64"])], to: scene.registry)
      inner = try await TestImage.pushIndex([.init(inner)], to: scene.registry, tag: "two")
      #expect(try await scene.pull("\(scene.registry.address)/app:two").manifest.digest == image.manifest.digest)
      for _ in 0..<3 { inner = try await TestImage.pushIndex([.init(inner)], to: scene.registry, tag: "five") }
      #expect(try await failure { try await scene.pull("\(scene.registry.address)/app:five") }.code == .invalidArgument)
    }
  }

  @Test func aLayerThatAnImageHasTwiceIsFetchedOnce() async throws {
    try await Scene.with { scene in
      let layer = TestImage.bytes(50_000)
      let image = try await TestImage.push([layer, TestImage.bytes(5), layer], to: scene.registry)
      let pulled = try await scene.pull(image.reference)
      #expect(pulled.layers.count == 3)
      #expect(scene.gets(image.layers[0].digest).count == 1)
      let labels = try await scene.content.info(image.manifest.digest).labels
      #expect(labels["containerd.io/gc.ref.content.l.0"] == image.layers[0].digest.description)
      #expect(labels["containerd.io/gc.ref.content.l.2"] == image.layers[0].digest.description)
    }
  }

  @Test func aBlobOfNoBytesNeedsNoRequest() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([[]], to: scene.registry, config: Array("{}".utf8))
      try await scene.pull(image.reference)
      #expect(scene.content.bytes(Digest.of([])) == [])
      #expect(scene.content.bytes(image.config.digest) == Array("{}".utf8))
      #expect(scene.gets(Digest.of([])).isEmpty)
    }
  }

  @Test(arguments: [
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "application/x-nobody-knows",
  ]) func aLayersMediaTypeIsNoneOfThePullsBusiness(_ type: String) async throws {
    try await Scene.with { scene in
      // The URLs of a foreign layer lead elsewhere; the registry is asked all the same, and they are not.
      let elsewhere = "http://\(scene.registry.address)/elsewhere"
      let image = try await TestImage.push([TestImage.bytes(100)], to: scene.registry, layerType: type, urls: [elsewhere])
      let pulled = try await scene.pull(image.reference)
      #expect(pulled.layers.map(\.mediaType) == [type])
      #expect(scene.content.bytes(image.layers[0].digest) == TestImage.bytes(100))
      #expect(scene.registry.log.records(endingIn: "/elsewhere").isEmpty)
    }
  }

  @Test func sourcesOfABlobAreGathered() async throws {
    try await Scene.with { scene in
      let layer = TestImage.bytes(100)
      let image = try await TestImage.push([layer], to: scene.registry)
      let other = try await TestImage.push([layer], to: scene.registry, repository: "a/other")
      try await scene.pull(image.reference)
      try await scene.pull(other.reference)
      try await scene.pull(other.reference)
      let labels = try await scene.content.info(image.layers[0].digest).labels
      #expect(labels["containerd.io/distribution.source.127.0.0.1"] == "a/other,app")
    }
  }

  @Test func noMoreBlobsThanAllowedAreFetchedAtATime() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push((0..<6).map { TestImage.bytes(2000, seed: UInt64($0 + 1)) }, to: scene.registry)
      scene.registry.faults.add(.delay(.milliseconds(60)), to: .blobs)
      let running = Mutex<(now: Set<String>, most: Int)>(([], 0))
      _ = try await scene.puller(parallelism: 2).pull(image.reference) { progress in
        running.withLock { state in
          if progress.state == .downloading { state.now.insert(progress.ref) } else { state.now.remove(progress.ref) }
          state.most = max(state.most, state.now.count)
        }
      }
      #expect(running.withLock { $0.most } == 2)
      #expect(scene.content.digests == image.everything)
    }
  }

  @Test func aPullThatIsCancelledStopsAndKeepsWhatItHas() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([TestImage.bytes(2_000_000)], to: scene.registry)
      scene.registry.faults.add(.throttle(bytesPerSecond: 100_000), to: .path(image.layers[0].digest.description))
      let ref = "layer-\(image.layers[0].digest)"
      let pull = Task { try await scene.pull(image.reference) }
      // Not there yet is not far enough.
      while ((try? await scene.content.status(ref: ref).offset) ?? 0) < 100_000 { try await Task.sleep(for: .milliseconds(5)) }
      pull.cancel()
      await #expect(throws: CancellationError.self) { try await pull.value }
      let kept = try await scene.content.status(ref: ref).offset
      #expect(kept >= 100_000 && kept < 2_000_000)
      scene.registry.faults.clear()
      scene.registry.log.clear()
      try await scene.pull(image.reference)
      #expect(scene.gets(image.layers[0].digest).map(\.range) == ["bytes=\(kept)-"])
      #expect(scene.content.bytes(image.layers[0].digest) == TestImage.bytes(2_000_000))
    }
  }

  @Test func twoPullsOfOneImageFetchEveryBlobOnce() async throws {
    try await Scene.with { scene in
      let image = try await TestImage.push([TestImage.bytes(400_000), TestImage.bytes(300_000, seed: 2)], to: scene.registry)
      scene.registry.faults.add(.throttle(bytesPerSecond: 2_000_000), to: .blobs)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<3 { group.addTask { try await scene.pull(image.reference) } }
        try await group.waitForAll()
      }
      #expect(scene.content.digests == image.everything)
      for digest in image.blobs { #expect(scene.gets(digest).count == 1) }
    }
  }

  @Test func aPullIntoADirectoryGoesOnInAnotherProcessesPlace() async throws {
    try await Scene.with { scene in
      let layer = TestImage.bytes(600_000)
      let image = try await TestImage.push([layer], to: scene.registry)
      let directory = ScratchDirectory("ref-content")
      var once = RegistryResolver.Configuration.quick
      once.attempts = 1
      let resolver = RegistryResolver(configuration: once)
      let gate = RegistryGate()
      scene.registry.faults.add(.cutAtGate(afterBytes: 250_000, gate), to: .path(image.layers[0].digest.description), times: 1)
      // The first store is forgotten with its open files, as a process that died would be.
      do {
        let store = try LocalContentStore(root: directory.path)
        let error = try await failure {
          try await ImagePuller(resolver: resolver, content: store).pull(image.reference) { if $0.offset == 250_000 { gate.open() } }
        }
        #expect(error.code == .unavailable)
      }
      let store = try LocalContentStore(root: directory.path)
      scene.registry.log.clear()
      _ = try await ImagePuller(resolver: resolver, content: store).pull(image.reference)
      #expect(scene.gets(image.layers[0].digest).map(\.range) == ["bytes=250000-"])
      #expect(scene.gets(image.layers[0].digest).map(\.bytesSent) == [350_000])
      #expect(scene.gets(image.config.digest).isEmpty)
      try await resolver.close()
    }
  }
}
