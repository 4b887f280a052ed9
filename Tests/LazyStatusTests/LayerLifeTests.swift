import BlockingIO
import Hashing
import LayerIndex
import LazyLayers
import Protocols
import Synchronization
import SystemKit
import TestSupport
import Testing

@testable import FuseSnapshotter

@Suite struct LayerLifeTests {
  /// A blob in memory, whose registry goes away when it is told to.
  private final class Source: LayerSource {
    private let bytes: [UInt8]
    private let isAway = Atomic(false)

    init(_ bytes: [UInt8]) { self.bytes = bytes }
    func goAway() { isAway.store(true, ordering: .relaxed) }

    func read(_ range: Range<Int64>) async throws -> [UInt8] {
      if isAway.load(ordering: .relaxed) { throw ContainerdError(.unavailable, "the registry is away") }
      return Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)])
    }
  }

  /// However often somebody was answered before anybody could wait, who waits is told when the time is over.
  @Test(.timeLimit(.minutes(1))) func theDeadlineHoldsAfterManyQuickReads() async throws {
    let scene = try LazyStatusTests.Scene()
    let source = Source(try Files.read(scene.file))
    let policy = LayerPolicy(deadline: .milliseconds(300), firstPause: .milliseconds(10), fillsInBackground: false)
    let shelf = try LayerShelf(root: scene.scratch.path + "/others", policy: policy, log: { _ in })
    try shelf.place(scene.index, bytes: try IndexFile.encode(scene.index))
    let descriptor = Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar", digest: scene.index.blob, size: scene.index.size)
    let name = LazyLayer.Name(blob: descriptor, diffID: try #require(scene.index.diffID), image: "registry.test/app@sha256:1")
    let layer = try shelf.layer(name, source: source)
    let last = try #require(scene.index.spans.last).archiveRange
    for span in scene.index.spans.dropLast() {
      for _ in 0..<20 { _ = await withCheckedContinuation { done in layer.want(span.archiveRange) { done.resume(returning: $0) } } }
    }
    source.goAway()
    let failure = await withCheckedContinuation { done in layer.want(last) { done.resume(returning: $0) } }
    #expect(failure?.code == .unavailable, "\(failure.map { "\($0)" } ?? "it was read")")
  }

  /// Directories and links alone: nothing of it can be fetched, and it is whole at once.
  @Test func aLayerWithoutBytesOfFilesIsWhole() throws {
    let scratch = ScratchDirectory()
    let blob = Array("a layer".utf8)
    let span = LayerIndex.Span(blobRange: 0..<0, archiveRange: 0..<0, digest: Digest.of([]), covers: .archive)
    let directory = LayerIndex.Entry(kind: .directory, name: Array("srv".utf8), mode: 0o755, owner: 0, group: 0, seconds: 0, nanoseconds: 0)
    let index = LayerIndex(
      blob: Digest.of(blob), size: Int64(blob.count), packing: .zstd, diffID: nil, archive: .contents, archiveSize: 0, spans: [span], entries: [directory])
    try index.check()
    let shelf = try LayerShelf(root: scratch.path, policy: LayerPolicy(fillsInBackground: false), log: { _ in })
    try shelf.place(index, bytes: try IndexFile.encode(index))
    let descriptor = Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar+zstd", digest: index.blob, size: index.size)
    let layer = try shelf.layer(LazyLayer.Name(blob: descriptor, diffID: Digest.of([1]), image: "registry.test/app@sha256:1"), source: Source(blob))
    #expect(layer.progress.here == layer.progress.all)
  }

  @Test func aLayerThatIsWantedIsNotRemoved() throws {
    let scene = try LazyStatusTests.Scene()
    try scene.shelf.remove(scene.index.blob) { true }
    #expect(Files.exists(scene.directory + "/spans"))
    try scene.shelf.remove(scene.index.blob) { false }
    #expect(!Files.exists(scene.directory))
    try scene.shelf.place(scene.index, bytes: try IndexFile.encode(scene.index))
    #expect(Files.exists(scene.directory + "/spans"))
  }

  /// A server that ends without a word before it has mounted: what is put into the directory would be lost.
  @Test func aUnionThatWasNotMountedIsAnError() async throws {
    let scratch = ScratchDirectory()
    for name in ["lower", "upper", "work"] { try Files.makeDirectories("\(scratch.path)/\(name)") }
    let unions = UnionMounts(root: scratch.path, command: ["/bin/sh", "-c", "exit 0"]) { _ in }
    let error = #expect(throws: ContainerdError.self) {
      _ = try unions.mounts(
        of: 7, writable: true, lowers: [scratch.path + "/lower"], upper: scratch.path + "/upper", work: scratch.path + "/work")
    }
    #expect(error?.code == .unavailable && error?.message.contains("union/7/mnt") == true)
    // It has to go: the library that runs these tests looks for ended children without a pause.
    for _ in 0..<3000 where UnionProcess.reap() > 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(UnionProcess.reap() == 0)
  }

  @Test func aRecordThatIsNotThereIsNone() throws {
    let scratch = ScratchDirectory()
    #expect(try LazyRecord.read(in: scratch.path) == nil)
    try Files.writeAtomically(Array("{".utf8), to: "\(scratch.path)/lazy.json")
    #expect(throws: ContainerdError.self) { _ = try LazyRecord.read(in: scratch.path) }
  }
}
