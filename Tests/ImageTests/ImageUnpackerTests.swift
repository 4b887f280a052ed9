import Hashing
import ImageUnpack
import InMemoryFakes
import OCI
import Protocols
import Testing

@Suite struct ImageUnpackerTests {
  @Test func everyLayerBecomesACommittedSnapshotOnTheOneBelow() async throws {
    let image = Image()
    try await image.pull()
    image.trace.clear()
    #expect(try await image.unpack() == image.chain.last)
    let snapshots = try await image.snapshots()
    #expect(Set(snapshots.keys) == Set(image.chain))
    #expect(snapshots.values.allSatisfy { $0.kind == .committed })
    #expect(image.chain.map { snapshots[$0]?.parent ?? "" } == ["", image.chain[0], image.chain[1]])
    #expect(image.trace.calls(of: "registry").isEmpty, "unpacking knows no registry")
  }

  @Test func labelsSayWhatHoldsTheSnapshotsAndWhatLayersAreUncompressed() async throws {
    let image = Image()
    try await image.pull()
    let top = try await image.unpack()
    #expect(try await image.content.info(image.config.digest).labels["containerd.io/gc.ref.snapshot.fake"] == top)
    for layer in image.layers {
      #expect(try await image.content.info(layer.digest).labels["containerd.io/uncompressed"] == layer.digest.description)
    }
    // The config's label comes last: it holds what is there.
    let updates = image.trace.calls.filter { $0.name == "content.update" }
    #expect(updates.last?.arguments.first == image.config.digest.description)
  }

  @Test func unpackingAgainDoesNothing() async throws {
    let image = Image()
    try await image.pull()
    let top = try await image.unpack()
    image.trace.clear()
    #expect(try await image.unpack() == top)
    #expect(image.trace.count("snapshots.prepare") == 0 && image.trace.count("applier.apply") == 0)
  }

  @Test func aLayerThatCannotBeAppliedLeavesNoSnapshotAndKeepsTheOnesBelow() async throws {
    let image = Image()
    try await image.pull()
    image.faults.add(.fail(.invalidArgument("layer: a broken archive")), to: "applier.apply", call: 2)
    let error = try await failure { try await image.unpack() }
    #expect(error.code == .invalidArgument && error.message.contains("broken archive"))
    #expect(try await image.snapshots().keys.sorted() == [image.chain[0]])
    #expect(try await image.content.info(image.config.digest).labels["containerd.io/gc.ref.snapshot.fake"] == nil)
    // Once the cause is gone, it goes on where it stopped.
    #expect(try await image.unpack() == image.chain.last)
    #expect(image.trace.count("applier.apply") == 4)
  }

  @Test func aLayerWithAnotherDiffIDThanTheConfigSaysIsRefused() async throws {
    let image = Image([1, 2], diffIDs: [Digest.of([UInt8](repeating: 1, count: 1000)), Digest.of([9])])
    try await image.pull()
    let error = try await failure { try await image.unpack() }
    #expect(error.code == .failedPrecondition)
    #expect(try await image.snapshots().count == 1)
  }

  @Test func aCommitThatFailsLeavesNoSnapshot() async throws {
    let image = Image([1])
    try await image.pull()
    image.faults.add(.fail(.unavailable("disk")), to: "snapshots.commit", call: 1)
    #expect(try await failure { try await image.unpack() }.code == .unavailable)
    #expect(try await image.snapshots().isEmpty)
  }

  @Test func whenRemovingFailsTooTheFirstErrorIsReportedAndTheSnapshotNamed() async throws {
    let image = Image([1])
    try await image.pull()
    image.faults.add(.fail(.invalidArgument("layer: broken")), to: "applier.apply", call: 1)
    image.faults.add(.fail(.unavailable("disk")), to: "snapshots.remove", call: 1)
    let error = try await failure { try await image.unpack() }
    #expect(error.code == .invalidArgument)
    #expect(error.message.contains("layer: broken") && error.message.contains("extract-"))
  }

  @Test func anUnpackThatIsCancelledLeavesNoSnapshot() async throws {
    let image = Image([1])
    try await image.pull()
    image.faults.add(.delay(.seconds(20)), to: "applier.apply", call: 1)
    let unpack = Task { try await image.unpack() }
    while image.trace.count("applier.apply") == 0 { try await Task.sleep(for: .milliseconds(1)) }
    unpack.cancel()
    await #expect(throws: (any Error).self) { try await unpack.value }
    #expect(try await image.snapshots().isEmpty)
  }

  @Test func manyWhoUnpackOneImageAtOnceMakeOneSetOfSnapshots() async throws {
    let image = Image()
    try await image.pull()
    image.faults.add(.delay(.milliseconds(20)), to: "applier.apply")
    let tops = try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<4 { group.addTask { try await image.unpack() } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(Set(tops) == [image.chain[2]] && tops.count == 4)
    #expect(Set(try await image.snapshots().keys) == Set(image.chain), "what lost the race is removed")
  }

  @Test func aSnapshotterThatHasTheLayerAlreadyIsBelieved() async throws {
    let image = Image([1])
    try await image.pull()
    try await image.unpack()
    let top = image.chain[0]
    // Stat says no once, as when another process commits between the look and the attempt.
    image.faults.addNext(.fail(.notFound("snapshot \(top)")), to: "snapshots.stat")
    image.faults.addNext(.fail(.alreadyExists("snapshot \(top)")), to: "snapshots.prepare")
    #expect(try await image.unpack() == top)
    #expect(image.trace.count("applier.apply") == 1)
  }

  /// What was unpacked before nobody need keep any more: it may be collected until the config's label keeps it.
  @Test func layersThatAreRemovedBeforeTheyAreHeldAreMadeAgain() async throws {
    let image = Image([1])
    try await image.pull()
    try await image.unpack()
    let held = image.faults.count("content.update")
    image.faults.addNext(.delay(.milliseconds(300)), to: "content.update")
    let again = Task { try await image.unpack() }
    while image.faults.count("content.update") == held { try await Task.sleep(for: .milliseconds(5)) }
    try await image.snapshotter.remove(image.chain[0])
    #expect(try await again.value == image.chain[0])
    #expect(try await image.snapshots().keys.sorted() == image.chain && image.trace.count("applier.apply") == 2)
  }

  @Test func aDuplicateLayerIsASnapshotEachTime() async throws {
    let image = Image([1, 2, 1])
    try await image.pull()
    #expect(try await image.unpack() == image.chain[2])
    #expect(try await image.snapshots().count == 3)
    #expect(image.trace.count("applier.apply") == 3)
  }

  @Test func aConfigThatDoesNotFitTheManifestIsRefusedBeforeAnythingIsMade() async throws {
    let image = Image([1, 2], diffIDs: [Digest.of([1])])
    try await image.pull()
    let error = try await failure { try await image.unpack() }
    #expect(error.code == .invalidArgument && error.message.contains("1 layers, the manifest 2"))
    #expect(image.trace.count("snapshots.prepare") == 0)
  }
}
