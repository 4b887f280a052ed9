import Hashing
import ImagePull
import ImageUnpack
import InMemoryFakes
import OCI
import Protocols
import Synchronization
import Testing

/// Pulling for a snapshotter that has layers without their blobs: who pulls and who unpacks know of each other by a number alone.
@Suite struct LazyPullTests {
  private final class Counts: Sendable {
    private let counts = Mutex<[Int]>([])
    var all: [Int] { counts.withLock { $0 } }
    func append(_ count: Int) { counts.withLock { $0.append(count) } }
  }

  private struct Scene {
    let image: Image
    let snapshotter: RemoteSnapshotter
    let unpacker: ImageUnpacker
    /// How far unpacking had come, each time that it was told.
    let unpacked = Counts()

    /// The snapshotter has so many layers, from the lowest.
    init(_ image: Image, has count: Int) {
      self.image = image
      snapshotter = RemoteSnapshotter(image.snapshotter, provides: Set(image.chain.prefix(count)))
      unpacker = ImageUnpacker(
        content: image.content, snapshotter: snapshotter, snapshotterName: "fake", applier: image.applier, hash: { Digest.of($0) },
        labels: ["containerd.io/snapshot/cri.image-ref": Image.reference])
    }

    /// Fetches what is needed and unpacks it, as the command line does.
    func pull(_ progress: @escaping @Sendable (PullProgress) -> Void = { _ in }) async throws -> (top: String, present: Int) {
      let begun = Mutex<ImageUnpacker.Beginning?>(nil)
      do {
        let pulled = try await image.puller.pull(Image.reference, progress: progress) { image in
          let beginning = try await unpacker.begin(config: image.config, layers: image.layers)
          begun.withLock { $0 = beginning }
          return beginning.present
        }
        let beginning = begun.withLock { $0.take() }
        let top = try await unpacker.unpack(config: pulled.config, layers: pulled.layers, after: beginning) { done, _ in unpacked.append(done) }
        return (top, beginning?.present ?? -1)
      } catch {
        if let beginning = begun.withLock({ $0.take() }) { try await unpacker.abandon(beginning) }
        throw error
      }
    }

    var fetched: [String] { image.trace.calls.filter { $0.name == "registry.fetch" }.compactMap(\.arguments.first) }
  }

  @Test func noBlobIsFetchedOfWhatTheSnapshotterHas() async throws {
    let image = Image()
    let scene = Scene(image, has: 3)
    let (top, present) = try await scene.pull()
    #expect(top == image.chain[2] && present == 3)
    #expect(scene.fetched == [image.manifest.digest.description, image.config.digest.description])
    #expect(image.content.digests == [image.manifest.digest, image.config.digest])
    #expect(image.trace.count("applier.apply") == 0 && scene.unpacked.all.isEmpty)
    let snapshots = try await image.snapshots()
    #expect(image.chain.map { snapshots[$0]?.parent ?? "" } == ["", image.chain[0], image.chain[1]] && snapshots.count == 3)
    // What refers to what is written down as ever: the references lead to blobs that may come later.
    let labels = try await image.content.info(image.manifest.digest).labels
    for (number, layer) in image.layers.enumerated() { #expect(labels["containerd.io/gc.ref.content.l.\(number)"] == layer.digest.description) }
    #expect(try await image.content.info(image.config.digest).labels["containerd.io/gc.ref.snapshot.fake"] == top)
  }

  @Test func fromTheFirstLayerThatIsNotThereOnAllAreFetchedAndUnpacked() async throws {
    let image = Image([1, 2, 3, 4])
    let scene = Scene(image, has: 1)
    let (top, present) = try await scene.pull()
    #expect(top == image.chain[3] && present == 1)
    #expect(image.content.digests == image.everything.subtracting([image.layers[0].digest]))
    #expect(image.trace.count("applier.apply") == 3)
    #expect(scene.unpacked.all == [1, 2, 3, 4])
    // The layer that was asked for in vain is unpacked into what was prepared for it then.
    #expect(image.trace.count("snapshots.prepare") == 4)
    let snapshots = try await image.snapshots()
    #expect(Set(snapshots.keys) == Set(image.chain) && snapshots.values.allSatisfy { $0.kind == .committed })
  }

  @Test func theSnapshotterIsToldWhichImageAndWhichLayer() async throws {
    let image = Image([1, 2])
    let scene = Scene(image, has: 1)
    _ = try await scene.pull()
    #expect(
      scene.snapshotter.labels
        == image.chain.map { ["containerd.io/snapshot.ref": $0, "containerd.io/snapshot/cri.image-ref": Image.reference] })
  }

  @Test func anOrdinarySnapshotterIsAskedOnceAndAllIsAsEver() async throws {
    let (image, plain) = (Image(), Image())
    let scene = Scene(image, has: 0)
    let seen = Mutex<[PullProgress]>([])
    let (top, present) = try await scene.pull { progress in seen.withLock { $0.append(progress) } }
    #expect(top == image.chain[2] && present == 0)
    try await plain.pull()
    try await plain.unpack()
    #expect(image.content.digests == plain.content.digests)
    #expect(Set(try await image.snapshots().keys) == Set(try await plain.snapshots().keys))
    for call in ["snapshots.prepare", "snapshots.commit", "snapshots.remove", "applier.apply", "registry.fetch", "content.commit"] {
      #expect(image.trace.count(call) == plain.trace.count(call), "\(call)")
    }
    // Of every blob the end is reported once.
    let ends = seen.withLock { $0.filter { $0.state != .downloading }.map(\.ref) }
    #expect(ends.count == 5 && Set(ends).count == 5)
  }

  @Test func pullingAgainFetchesNothingMore() async throws {
    let image = Image()
    let scene = Scene(image, has: 2)
    _ = try await scene.pull()
    image.trace.clear()
    let (top, present) = try await scene.pull()
    #expect(top == image.chain[2] && present == 2)
    #expect(scene.fetched.isEmpty)
    #expect(image.trace.count("snapshots.prepare") == 0 && image.trace.count("applier.apply") == 0)
  }

  @Test func anUnpackedSnapshotIsNoReasonToDoWithoutTheBlob() async throws {
    let image = Image()
    try await image.pull()
    try await image.unpack()
    for layer in image.layers { try await image.content.delete(layer.digest) }
    let (_, present) = try await Scene(image, has: 3).pull()
    #expect(present == 0)
    #expect(image.content.digests == image.everything)
  }

  @Test func aDuplicateOfALayerThatIsThereIsFetchedIfItIsNeededHigherUp() async throws {
    let image = Image([1, 2, 1])
    let (_, present) = try await Scene(image, has: 1).pull()
    #expect(present == 1)
    #expect(image.content.digests == image.everything)
  }

  @Test func aPullThatFailsLeavesNoSnapshotBehind() async throws {
    let image = Image()
    let scene = Scene(image, has: 1)
    // Manifest and config come first.
    for call in 3...4 { image.faults.add(.fail(.unavailable("registry")), to: "registry.fetch", call: call) }
    #expect(try await failure { try await scene.pull() }.code == .unavailable)
    #expect(try await image.snapshots().keys.sorted() == [image.chain[0]])
    #expect(try await scene.pull().top == image.chain[2])
  }

  @Test func aLayerThatFailsAfterwardsLeavesNoSnapshotBehind() async throws {
    let image = Image()
    let scene = Scene(image, has: 1)
    image.faults.add(.fail(.invalidArgument("layer: broken")), to: "applier.apply", call: 1)
    #expect(try await failure { try await scene.pull() }.code == .invalidArgument)
    #expect(try await image.snapshots().keys.sorted() == [image.chain[0]])
  }

  @Test func whatSomebodyElseUnpacksMeanwhileIsUsedAndWhatWasPreparedGoes() async throws {
    let image = Image([1, 2])
    let scene = Scene(image, has: 0)
    try await image.pull()
    let beginning = try await scene.unpacker.begin(config: image.config, layers: image.layers)
    #expect(try await image.unpack() == image.chain[1])
    #expect(try await scene.unpacker.unpack(config: image.config, layers: image.layers, after: beginning) == image.chain[1])
    #expect(Set(try await image.snapshots().keys) == Set(image.chain))
    #expect(image.trace.count("applier.apply") == 2)
  }

  @Test func aConfigThatDoesNotFitIsToldOnlyWhenItIsUnpacked() async throws {
    let image = Image([1, 2], diffIDs: [Digest.of([1])])
    let scene = Scene(image, has: 2)
    let error = try await failure { try await scene.pull() }
    #expect(error.code == .invalidArgument && error.message.contains("names 1 layers, the manifest 2"))
    #expect(image.content.digests == image.everything)
    #expect(try await image.snapshots().isEmpty)
  }

  @Test func aNumberOutOfRangeIsTakenForTheNearest() async throws {
    for (told, expected) in [(-1, 3), (7, 0)] {
      let image = Image()
      _ = try await image.puller.pull(Image.reference, layersHad: { _ in told })
      #expect(image.content.digests.intersection(image.layers.map(\.digest)).count == expected)
    }
  }
}
