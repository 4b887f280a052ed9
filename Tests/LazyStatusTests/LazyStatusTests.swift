import Hashing
import LayerIndex
import LazyLayers
import Protocols
import SystemKit
import TestSupport
import Testing

@testable import FuseSnapshotter

@Suite struct LazyStatusTests {
  /// A snapshotter's directory with one layer that has its index and nothing else.
  final class Scene: Sendable {
    let scratch = ScratchDirectory("lazy status")
    let index: LayerIndex
    let shelf: LayerShelf
    let file: String
    var root: String { scratch.path + "/root" }

    init() throws {
      let tree = scratch.path + "/tree"
      try Files.makeDirectories(tree)
      file = scratch.path + "/layer.tar"
      let (status, output) = try run(["/bin/sh", "-ec", "seq 1 700000 >'\(tree)/numbers'; tar -C '\(tree)' -cf '\(file)' ."])
      if status != 0 { throw ContainerdError(.unknown, "tar ended with \(status): \(output)") }
      index = try LayerIndex.build(from: FileBytes(path: file), mediaType: "application/vnd.oci.image.layer.v1.tar")
      shelf = try LayerShelf(root: scratch.path + "/root/layers", policy: LayerPolicy(fillsInBackground: false), log: { _ in })
      try shelf.place(index, bytes: try IndexFile.encode(index))
    }

    var directory: String { shelf.directory(of: index.blob) }
    var record: LazyRecord {
      get throws {
        let layer = LazyRecord.Layer(
          mediaType: "application/vnd.oci.image.layer.v1.tar", digest: "\(index.blob)", size: index.size, diffID: "\(try #require(index.diffID))")
        return LazyRecord(image: "registry.test/app@sha256:1", layers: [layer], chain: [])
      }
    }

    func snapshot(_ number: Int64, _ record: LazyRecord) throws {
      try Files.makeDirectories("\(root)/snapshots/\(number)")
      try record.write(in: "\(root)/snapshots/\(number)")
    }

    func layer() throws -> LazyLayer {
      let descriptor = Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar", digest: index.blob, size: index.size)
      let name = LazyLayer.Name(blob: descriptor, diffID: try #require(index.diffID), image: "registry.test/app@sha256:1")
      return try shelf.layer(name, source: LocalBlob(try BlobFile(path: file)))
    }

    func load(_ range: Range<Int64>) async throws -> LazyLayer {
      let layer = try layer()
      let failure = await withCheckedContinuation { done in layer.want(range) { done.resume(returning: $0) } }
      if let failure { throw failure }
      return layer
    }
  }

  @Test func withoutADirectoryThereIsAnError() throws {
    let error = #expect(throws: ContainerdError.self) { try LazyStatus.read(root: "/nowhere/at/all") }
    #expect(error?.code == .notFound && error?.message.contains("/nowhere/at/all") == true)
    let scratch = ScratchDirectory()
    #expect(try LazyStatus.read(root: scratch.path) == LazyStatus(images: [], unused: [], declined: [], failures: []))
  }

  @Test func aLayerThatIsBeingFilled() async throws {
    let scene = try Scene()
    try scene.snapshot(7, try scene.record)
    let before = try #require(try LazyStatus.read(root: scene.root).images.first)
    #expect(before.reference == "registry.test/app@sha256:1" && before.layers.map(\.state) == [.filling] && before.layers[0].here == 0)
    #expect(before.layers[0].all == scene.index.archiveSize && before.layers[0].size == scene.index.size && before.layers[0].percent == 0)
    let layer = try await scene.load(0..<10)
    let after = try #require(try LazyStatus.read(root: scene.root).images.first?.layers.first)
    #expect(after.here == layer.progress.here && after.here > 0 && after.here < after.all)
    #expect(after.percent > 0 && after.percent < 100)
    #expect(before.snapshots == [.init(number: 7, chain: "\(scene.index.diffID ?? .of([]))", layer: "\(scene.index.blob)", isGraduated: false, mount: nil)])
    // What another boot has written may not be there.
    try Files.writeAtomically(Array("another".utf8), to: scene.directory + "/boot")
    #expect(try LazyStatus.read(root: scene.root).images.first?.layers.first?.here == 0)
  }

  @Test func aLayerThatIsVerifiedAndGraduated() async throws {
    let scene = try Scene()
    try scene.snapshot(1, try scene.record)
    let layer = try await scene.load(0..<scene.index.archiveSize)
    for _ in 0..<500 where !layer.isComplete { try await Task.sleep(for: .milliseconds(20)) }
    let status = try LazyStatus.read(root: scene.root)
    #expect(status.images[0].layers[0].state == .verified && status.images[0].layers[0].percent == 100)
    #expect(!status.images[0].snapshots[0].isGraduated && status.failures.isEmpty)
    try Files.writeAtomically([], to: scene.root + "/snapshots/1/graduated")
    #expect(try LazyStatus.read(root: scene.root).images[0].snapshots[0].isGraduated)
  }

  @Test func aLayerThatIsPoisonedSaysWhy() async throws {
    let scene = try Scene()
    try scene.snapshot(1, try scene.record)
    try Files.writeAtomically(Array("its index is wrong".utf8), to: scene.directory + "/poisoned")
    let layer = try #require(try LazyStatus.read(root: scene.root).images.first?.layers.first)
    #expect(layer.state == .poisoned && layer.reason == "its index is wrong")
  }

  @Test func mountsAreReadOffTheKernelsList() throws {
    let scene = try Scene()
    for number: Int64 in [3, 4] { try scene.snapshot(number, try scene.record) }
    let list = scene.scratch.path + "/mountinfo"
    // The blank in the directory's name is octal there.
    let escaped = scene.root.split(separator: " ", omittingEmptySubsequences: false).joined(separator: "\\040")
    let text = "21 1 0:20 / / rw - ext4 /dev/vda rw\n36 35 0:44 / \(escaped)/lazy/4/mnt ro,relatime shared:2 - fuse containerd-ref ro\n"
    try Files.writeAtomically(Array(text.utf8), to: list)
    let snapshots = try LazyStatus.read(root: scene.root, mountInfo: list).images[0].snapshots
    #expect(snapshots.map(\.number) == [3, 4] && snapshots.map(\.mount) == [nil, "\(scene.root)/lazy/4/mnt"])
  }

  @Test func snapshotsOfOneImageShareItsLayers() throws {
    let scene = try Scene()
    let below = try scene.record
    var above = below
    above.layers.append(LazyRecord.Layer(mediaType: "x", digest: "\(Digest.of([1]))", size: 9, diffID: "\(Digest.of([2]))"))
    above.chain = [1]
    try scene.snapshot(1, below)
    try scene.snapshot(2, above)
    let image = try #require(try LazyStatus.read(root: scene.root).images.first)
    #expect(image.layers.map(\.digest) == above.layers.map(\.digest) && image.layers.map(\.state) == [.filling, .missing])
    let chain = Digest.of(Array("\(below.layers[0].diffID) \(Digest.of([2]))".utf8))
    #expect(image.snapshots.map(\.chain) == [below.layers[0].diffID, "\(chain)"])
    #expect(image.snapshots.map(\.layer) == above.layers.map(\.digest))
  }

  @Test func whatNobodyUsesAndWhatCannotBeReadAreTold() throws {
    let scene = try Scene()
    #expect(try LazyStatus.read(root: scene.root).unused.map(\.digest) == ["\(scene.index.blob)"])
    try scene.snapshot(5, try scene.record)
    try Files.writeAtomically(Array("{".utf8), to: scene.root + "/snapshots/5/lazy.json")
    try Files.writeAtomically(Array("{".utf8), to: scene.root + "/declined.json")
    let status = try LazyStatus.read(root: scene.root)
    #expect(status.images.isEmpty && status.failures.count == 2 && status.failures.contains { $0.hasPrefix("snapshot 5: ") }, "\(status.failures)")
  }

  @Test func whatWasNotLazyIsKeptAndForgotten() throws {
    let scratch = ScratchDirectory()
    let declined = DeclinedLayers(root: scratch.path)
    for number in 0..<DeclinedLayers.most + 10 {
      let obstacle: LazyObstacle = number % 2 == 0 ? .noIndex : .parent
      try declined.add(DeclinedLayer(reference: "layer-\(number)", obstacle: obstacle, reason: "for \(number)", time: Int64(number)))
    }
    // The same layer again takes the place of what was known of it.
    try declined.add(DeclinedLayer(reference: "layer-50", obstacle: .failure, reason: "again", time: 1000))
    var known = try LazyStatus.read(root: scratch.path).declined
    #expect(known.count == DeclinedLayers.most && known.first?.reference == "layer-10" && known.last?.reason == "again")
    #expect(declined.counts == [.noIndex: 105, .parent: 105, .failure: 1])
    // Another process goes on with it.
    try DeclinedLayers(root: scratch.path).remove("layer-50")
    known = try LazyStatus.read(root: scratch.path).declined
    #expect(known.count == DeclinedLayers.most - 1 && !known.contains { $0.reference == "layer-50" })
  }
}
