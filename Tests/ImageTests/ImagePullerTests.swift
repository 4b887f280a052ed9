import Hashing
import ImagePull
import InMemoryFakes
import OCI
import Protocols
import Testing

@Suite struct ImagePullerTests {
  @Test func aPullFillsTheStoreAndTouchesNothingElse() async throws {
    let image = Image()
    let pulled = try await image.pull()
    #expect(pulled.target == image.manifest && pulled.layers == image.layers && pulled.config == image.config)
    #expect(image.content.digests == image.everything)
    #expect(image.trace.calls(of: "snapshots").isEmpty && image.trace.calls(of: "applier").isEmpty)
  }

  @Test func aReferenceIsLabelledBeforeWhatItRefersToIsFetched() async throws {
    let image = Image()
    try await image.pull()
    let labelled = try #require(
      image.trace.calls.firstIndex {
        $0.name == "content.update" && $0.arguments.first == image.manifest.digest.description && $0.arguments[1].contains("gc.ref")
      })
    let fetched = try #require(image.trace.calls.firstIndex { $0.name == "registry.fetch" && $0.arguments.first != image.manifest.digest.description })
    #expect(labelled < fetched)
    let labels = try await image.content.info(image.manifest.digest).labels
    #expect(labels["containerd.io/gc.ref.content.config"] == image.config.digest.description)
    for (number, layer) in image.layers.enumerated() { #expect(labels["containerd.io/gc.ref.content.l.\(number)"] == layer.digest.description) }
  }

  @Test func aStreamThatDropsFailsThePullAndTheNextOneResumes() async throws {
    let image = Image([1])
    // The first fetch is the manifest's; config and layer follow.
    for call in [2, 3] { image.faults.add(.drop(afterBytes: 30), to: "registry.fetch", call: call) }
    #expect(try await failure { try await image.pull() }.code == .unavailable)
    let ref = "layer-\(image.layers[0].digest)"
    while image.trace.calls.contains(where: { $0.description == "content.close(\(ref))" }) == false { try await Task.sleep(for: .milliseconds(1)) }
    let kept = try await image.content.status(ref: ref).offset
    image.trace.clear()
    try await image.pull()
    #expect(image.content.digests == image.everything)
    let fetches = image.trace.calls.filter { $0.name == "registry.fetch" && $0.arguments.first == image.layers[0].digest.description }
    #expect(fetches.map { $0.arguments[1] } == ["\(kept)"])
    #expect(image.trace.calls.allSatisfy { $0.name != "registry.fetch" || $0.arguments.first != image.manifest.digest.description }, "the manifest was there")
  }

  @Test func aBlobThatSomebodyElseCommitsMeanwhileIsFine() async throws {
    let image = Image([1, 2])
    // It is there when the commit is refused: that is what a lost race looks like.
    image.faults.add(.failAfter(.alreadyExists("content: committed by another")), to: "content.commit")
    try await image.pull()
    #expect(image.content.digests == image.everything)
    #expect(image.trace.count("content.commit") == 4)
    for layer in image.layers {
      #expect(try await image.content.info(layer.digest).labels["containerd.io/distribution.source.registry.test"] == "app")
    }
  }

  @Test func aStoreThatOnlySaysThatABlobIsThereIsFoundOut() async throws {
    let image = Image([1])
    image.faults.add(.fail(.alreadyExists("content: so it claims")), to: "content.commit", call: 2)
    #expect(try await failure { try await image.pull() }.code == .notFound)
  }

  /// Whoever found that the bytes it had resumed from are not the blob's aborts them; another may have taken the ref by then.
  @Test func anIngestThatAnotherPullTookAwayIsBegunAgain() async throws {
    for operation in ["content.write", "content.commit"] {
      let image = Image([1])
      image.faults.add(.fail(.notFound("ingest ref (aborted)")), to: operation, call: 2)
      try await image.pull()
      #expect(image.content.digests == image.everything)
    }
    let unlucky = Image([1])
    for call in 1...2 { unlucky.faults.add(.fail(.notFound("ingest ref (aborted)")), to: "content.commit", call: call) }
    #expect(try await failure { try await unlucky.pull() }.code == .notFound)
  }

  @Test func anotherDownloadOfTheSameBlobIsAwaited() async throws {
    let image = Image([1])
    let layer = image.layers[0]
    let other = try await image.content.writer(ref: "layer-\(layer.digest)", expected: IngestExpectation(size: layer.size, digest: layer.digest))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await image.pull() }
      // The other one is slow, but gets on for longer than anybody would wait for one that does not.
      for piece in 0..<10 {
        try await Task.sleep(for: .milliseconds(60))
        try await other.write([UInt8](repeating: 1, count: 100), at: Int64(piece) * 100)
      }
      _ = try await other.commit(IngestExpectation(size: layer.size, digest: layer.digest), labels: [:])
      try await group.waitForAll()
    }
    #expect(image.content.digests == image.everything)
    #expect(!image.trace.calls.contains { $0.name == "registry.fetch" && $0.arguments.first == layer.digest.description })
  }

  @Test func aDownloadThatSomebodyElseLetsGoIsTakenOver() async throws {
    let image = Image([1])
    let layer = image.layers[0]
    let other = try await image.content.writer(ref: "layer-\(layer.digest)", expected: IngestExpectation(size: layer.size, digest: layer.digest))
    try await other.write([UInt8](repeating: 1, count: 400), at: 0)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await image.pull() }
      try await Task.sleep(for: .milliseconds(50))
      await other.close()
      try await group.waitForAll()
    }
    let fetches = image.trace.calls.filter { $0.name == "registry.fetch" && $0.arguments.first == layer.digest.description }
    #expect(fetches.map { $0.arguments[1] } == ["400"])
  }

  @Test func aDownloadThatStandsStillIsNotAwaitedForEver() async throws {
    let image = Image([1])
    let other = try await image.content.writer(ref: "layer-\(image.layers[0].digest)", expected: IngestExpectation(size: 1000))
    let error = try await failure { try await image.pull() }
    #expect(error.code == .unavailable)
    #expect(error.message.contains("locked"))
    await other.close()
  }

  @Test func wrongBytesAreNeverCommittedAndNotKept() async throws {
    let image = Image([1, 2])
    let layer = image.layers[1].digest
    image.registry.corrupt(layer, with: [UInt8](repeating: 9, count: 1000))
    let error = try await failure { try await image.pull() }
    #expect(error.code == .failedPrecondition)
    #expect(image.content.bytes(layer) == nil)
    #expect(try await failure { try await image.content.status(ref: "layer-\(layer)") }.code == .notFound)
    image.registry.corrupt(layer, with: [UInt8](repeating: 2, count: 1000))
    try await image.pull()
    #expect(image.content.digests == image.everything)
  }

  @Test func aResumedDownloadThatComesOutWrongIsDoneOnceMoreFromTheBeginning() async throws {
    let image = Image([1])
    let layer = image.layers[0]
    let torn = try await image.content.writer(ref: "layer-\(layer.digest)", expected: IngestExpectation(size: layer.size, digest: layer.digest))
    try await torn.write([UInt8](repeating: 0, count: 400), at: 0)
    await torn.close()
    try await image.pull()
    #expect(image.content.bytes(layer.digest) == [UInt8](repeating: 1, count: 1000))
    let fetches = image.trace.calls.filter { $0.name == "registry.fetch" && $0.arguments.first == layer.digest.description }
    #expect(fetches.map { $0.arguments[1] } == ["400", "0"])
  }

  @Test func aDuplicateLayerIsFetchedOnce() async throws {
    let image = Image([1, 2, 1])
    let pulled = try await image.pull()
    #expect(pulled.layers.count == 3)
    #expect(image.trace.calls.count { $0.name == "registry.fetch" && $0.arguments.first == image.layers[0].digest.description } == 1)
  }

  @Test func oneFailureStopsTheOthersAndIsTheOneThatIsReported() async throws {
    let image = Image([1, 2, 3, 4, 5, 6])
    image.faults.add(.fail(ContainerdError(.permissionDenied, "blob")), to: "registry.fetch", call: 3)
    #expect(try await failure { try await image.pull() }.code == .permissionDenied)
    #expect(image.trace.count("registry.fetch") < 8)
  }

  @Test func aManifestOfAbsurdSizeIsNotEvenFetched() async throws {
    let index = "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"\(MediaType.ociManifest)\",\"digest\":\"\(Digest.of([1]))\",\"size\":99999999}]}"
    let image = Image()
    image.registry.add(manifest: Array(index.utf8), mediaType: MediaType.ociIndex, as: "registry.test/large:1")
    let error = try await failure { try await image.puller.pull("registry.test/large:1") }
    #expect(error.code == .resourceExhausted)
    #expect(image.trace.count("registry.fetch") == 1)
  }
}
