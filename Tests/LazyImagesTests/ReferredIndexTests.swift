import EmbeddedRegistry
import FuseSnapshotter
import Hashing
import LayerIndex
import LazyImages
import OCI
import Protocols
import SystemKit
import Testing

@Suite struct ReferredIndexTests {
  /// The layers that are offered, or why none is.
  static func find(_ library: ImageLibrary, _ request: LazyRequest) async throws -> (offers: [LazyOffer], reason: String, obstacle: LazyObstacle?) {
    switch try await library.find(request) {
    case .layers(_, let offers): (offers, "", nil)
    case .declined(let reason, let obstacle): ([], reason, obstacle)
    }
  }

  static func asked(_ scene: Scene) -> Int { scene.registry.log.records.count { $0.path.contains("/referrers/") && $0.method == "GET" } }

  @Test func whatRefersToTheImageIsFoundAndAskedForOnce() async throws {
    try await Scene.with(layers: 3) { scene throws in
      let library = scene.library()
      let before = try await Self.find(library, scene.request(1))
      #expect(before.offers.isEmpty && before.obstacle == .noIndex)
      for words in [
        "no index of layer \(scene.layers[0].digest)", "none was made on this machine", "no artifact with indexes refers to the image",
        "no table of its own",
      ] { #expect(before.reason.contains(words), "\(before.reason)") }
      try await scene.push()
      // Another library: the first remembers that there was nothing.
      let other = scene.library()
      scene.registry.log.clear()
      for depth in 1...3 {
        let (offers, reason, _) = try await Self.find(other, scene.request(depth))
        #expect(offers.map(\.blob.digest) == scene.layers.prefix(depth).map(\.digest), "\(reason)")
        for (offer, diffID) in zip(offers, scene.diffIDs) {
          let (index, bytes) = try #require(try offer.read())
          #expect(index.diffID == diffID && index.blob == offer.blob.digest && index.spans.count > 1)
          #expect(try IndexFile.decode(bytes) == index)
        }
      }
      #expect(Self.asked(scene) == 1)
      let remembered = try await Self.find(library, scene.request(1))
      #expect(remembered.offers.isEmpty)
    }
  }

  @Test func theAnswerIsForgottenAfterAWhile() async throws {
    try await Scene.with(layers: 1) { scene throws in
      let library = scene.library(referred: scene.referred(memory: .zero))
      #expect(try await Self.find(library, scene.request(1)).offers.isEmpty)
      try await scene.push()
      #expect(try await Self.find(library, scene.request(1)).offers.count == 1)
      #expect(Self.asked(scene) == 2)
    }
  }

  @Test func trustSaysWhatIsBelieved() async throws {
    try await Scene.with(layers: 1) { scene throws in
      try await scene.push()
      let local = try await Self.find(scene.library(.local), scene.request(1))
      #expect(local.offers.isEmpty && local.reason.contains("none of others is believed"), "\(local.reason)")
      #expect(Self.asked(scene) == 0)
      #expect(try await Self.find(scene.library(.repository), scene.request(1)).offers.count == 1)
    }
    try await Scene.with(layers: 1) { scene throws in
      let shared = "\(scene.registry.address)/shared/indexes"
      try await scene.push(to: shared)
      #expect(try await Self.find(scene.library(.repository, repositories: [shared]), scene.request(1)).offers.isEmpty)
      #expect(try await Self.find(scene.library(.any, repositories: [shared]), scene.request(1)).offers.count == 1)
    }
  }

  @Test func anIndexOfThisMachineGoesFirst() async throws {
    try await Scene.with(layers: 1) { scene throws in
      let own = try IndexFile.encode(try scene.index(try scene.archive(0)))
      try IndexShelf(root: scene.indexes).write(own, for: scene.layers[0].digest)
      for trust in IndexTrust.allCases { #expect(try await Self.find(scene.library(trust), scene.request(1)).offers.first?.read()?.bytes == own) }
      #expect(Self.asked(scene) == 0)
    }
  }

  @Test func anIndexThatWasWrongIsNotTakenAgain() async throws {
    try await Scene.with(layers: 1) { scene throws in
      try await scene.push()
      let library = scene.library()
      #expect(try await Self.find(library, scene.request(1)).offers.count == 1)
      await library.distrust(scene.layers[0].digest)
      let after = try await Self.find(library, scene.request(1))
      #expect(after.offers.isEmpty && after.reason.contains("one of others was wrong"), "\(after.reason)")
      // One that is made here afterwards is as good as ever.
      let own = try IndexFile.encode(try scene.index(try scene.archive(0)))
      try IndexShelf(root: scene.indexes).write(own, for: scene.layers[0].digest)
      #expect(try await Self.find(library, scene.request(1)).offers.count == 1)
    }
  }

  @Test func ofSOCI() async throws {
    try await Scene.with(layers: 0) { scene throws in
      var scene = scene
      let layer = try Self.fixture("layer.tar.gz")
      try await scene.publish([layer])
      let ztoc = try Self.fixture("soci-flatc.ztoc")
      let artifact = try await scene.refer(.soci, [(ztoc, scene.layers[0].digest)], type: "application/octet-stream")
      #expect(artifact.artifactType == "application/vnd.amazon.soci.index.v1+json")
      let (offers, reason, _) = try await Self.find(scene.library(), scene.request(1))
      let offer = try #require(offers.first, "\(reason)")
      let (index, bytes) = try #require(try offer.read())
      #expect(index.diffID == scene.diffIDs[0])
      #expect(try IndexFile.decode(bytes) == index)
      try index.verify { Array(layer[Int($0.lowerBound)..<Int($0.upperBound)]) }
      // Ours goes first.
      try await scene.push()
      let both = try await Self.find(scene.library(), scene.request(1)).offers
      let first = try #require(try both.first?.read()).index
      #expect(first != index && first.archive == .tar)
    }
  }

  @Test func ofSOCIWhichTheManifestNames() async throws {
    try await Scene.with(layers: 0) { scene throws in
      var scene = scene
      let (layer, ztoc) = (try Self.fixture("layer.tar.gz"), try Self.fixture("soci-flatc.ztoc"))
      let type = "application/vnd.amazon.soci.index.v2+json"
      try await scene.publish([layer]) { scene in
        try await scene.refer(.soci, [(ztoc, scene.layers[0].digest)], type: "application/octet-stream", configType: type).digest
      }
      let local = try await Self.find(scene.library(.local), scene.request(1))
      #expect(local.offers.isEmpty, "it is no index of this machine")
      let (offers, reason, _) = try await Self.find(scene.library(), scene.request(1))
      let offer = try #require(offers.first, "\(reason)")
      let (index, _) = try #require(try offer.read())
      #expect(index.diffID == scene.diffIDs[0])
      try index.verify { Array(layer[Int($0.lowerBound)..<Int($0.upperBound)]) }
      // Ours goes first.
      try await scene.push()
      let both = try await Self.find(scene.library(), scene.request(1)).offers
      #expect(try #require(try both.first?.read()).index.archive == .tar)
    }
  }

  @Test func aSmallLayerThatWasLeftOutIsFetched() async throws {
    try await Scene.with(layers: 0) { scene throws in
      var scene = scene
      let (layer, ztoc) = (try Self.fixture("layer.tar.gz"), try Self.fixture("soci-flatc.ztoc"))
      try await scene.publish([try scene.archive(0), layer])
      // As long as nobody has made any index of the image, it is pulled as ever.
      #expect(try await Self.find(scene.library(), scene.request(1)).offers.isEmpty)
      #expect(!scene.fetched(scene.layers[0]))
      _ = try await scene.refer(.soci, [(ztoc, scene.layers[1].digest)], type: "application/octet-stream")
      let (offers, reason, _) = try await Self.find(scene.library(), scene.request(2))
      #expect(offers.map(\.blob.digest) == scene.layers.map(\.digest), "\(reason)")
      let (index, _) = try #require(try offers.first?.read())
      #expect(index.diffID == scene.diffIDs[0] && index.archive == .tar)
      // And is there the next time.
      scene.registry.log.clear()
      #expect(try await Self.find(scene.library(), scene.request(1)).offers.count == 1)
      #expect(!scene.fetched(scene.layers[0]))
    }
  }

  @Test func whatTheManifestNamesAndIsNotThereIsSaid() async throws {
    try await Scene.with(layers: 0) { scene throws in
      var scene = scene
      let (layer, missing) = (try Self.fixture("layer.tar.gz"), Digest.of(Array("nothing".utf8)))
      try await scene.publish([layer]) { _ in missing }
      let (offers, reason, obstacle) = try await Self.find(scene.library(), scene.request(1))
      #expect(offers.isEmpty && obstacle == .noIndex)
      #expect(reason.contains("artifact \(missing), which the image names, cannot be read"), "\(reason)")
      // What refers to the image is found all the same.
      try await scene.push()
      #expect(try await Self.find(scene.library(), scene.request(1)).offers.count == 1)
    }
  }

  static func fixture(_ name: String) throws -> [UInt8] {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
    return try Files.read(parts.joined(separator: "/") + "/Fixtures/foreign-index/" + name)
  }

  // MARK: what is wrong

  @Test func anIndexOfSomethingElseIsNamedAndTheNextIsTaken() async throws {
    try await Scene.with(layers: 2) { scene throws in
      let other = try IndexFile.encode(try scene.index(try scene.archive(1)))
      let artifact = try await scene.refer(.own, [(other, scene.layers[0].digest)])
      let wrong = try await Self.find(scene.library(), scene.request(1))
      #expect(wrong.offers.isEmpty && wrong.obstacle == .noIndex)
      #expect(wrong.reason.contains("artifact \(artifact.digest) cannot be used: it is of \(scene.layers[1].digest)"), "\(wrong.reason)")
      try await scene.push()
      #expect(try await Self.find(scene.library(), scene.request(2)).offers.count == 2)
    }
  }

  @Test(arguments: ["noise", "too long", "another subject", "not the bytes"]) func whatCannotBeUsedIsTold(_ kind: String) async throws {
    try await Scene.with(layers: 1) { scene throws in
      let layer = scene.layers[0].digest
      let index = try IndexFile.encode(try scene.index(try scene.archive(0)))
      var words: String
      switch kind {
      case "noise":
        _ = try await scene.refer(.own, [([UInt8](repeating: 7, count: 1000), layer)])
        words = "not a layer index"
      case "too long":
        _ = try await scene.refer(.own, [([UInt8](repeating: 7, count: (16 << 20) + 1), layer)])
        words = "it has 16777217 bytes"
      case "another subject":
        let artifact = try await scene.refer(.own, [(index, layer)], subject: Descriptor(mediaType: MediaType.ociManifest, digest: .of([1]), size: 1))
        let entry = """
          {"mediaType":"\(MediaType.ociManifest)","digest":"\(artifact.digest)","size":\(artifact.size),\
          "artifactType":"\(IndexArtifact.Form.own.artifactType)"}
          """
        let listed = "{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[\(entry)]}"
        scene.registry.faults.add(.replace(Array(listed.utf8)), to: .referrers)
        words = "refers to \(Digest.of([1])), not to \(scene.manifest.digest)"
      default:
        let artifact = try await scene.refer(.own, [(index, layer)])
        scene.registry.faults.add(.corruptBlob(at: 20), to: .path("\(Digest.of(index))"), method: "GET")
        words = "artifact \(artifact.digest) cannot be used: its bytes are others"
      }
      let (offers, reason, obstacle) = try await Self.find(scene.library(), scene.request(1))
      #expect(offers.isEmpty && obstacle == .noIndex && reason.contains(words), "\(reason)")
    }
  }

  @Test(arguments: [404, 500, 403]) func aRegistryThatCannotBeAskedHasNone(_ status: Int) async throws {
    try await Scene.with(layers: 2) { scene throws in
      scene.registry.faults.add(.status(status), to: .referrers)
      let library = scene.library()
      for depth in 1...2 {
        let (offers, reason, obstacle) = try await Self.find(library, scene.request(depth))
        #expect(offers.isEmpty && obstacle == .noIndex, "\(reason)")
        #expect(reason.contains(status == 404 ? "no artifact with indexes" : "its referrers could not be asked for"), "\(reason)")
      }
      // Told once for the image, not for each of its layers. A registry without the list has the tag instead: nothing failed.
      #expect(scene.said.lines.count == (status == 404 ? 0 : 1), "\(scene.said.lines)")
    }
  }

  @Test func aRegistryThatIsSilentIsWaitedForForAWhile() async throws {
    try await Scene.with(layers: 1) { scene throws in
      scene.registry.faults.add(.delay(.seconds(20)), to: .referrers)
      let began = ContinuousClock.now
      let (offers, reason, _) = try await Self.find(scene.library(referred: scene.referred(patience: .milliseconds(200))), scene.request(1))
      #expect(offers.isEmpty && reason.contains("no answer within"), "\(reason)")
      #expect(began.duration(to: .now) < .seconds(10))
    }
  }
}
