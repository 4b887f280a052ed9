import Hashing
import LayerIndex
import LazyLayers
import Protocols
import Synchronization
import SystemKit
import TestSupport
import Testing

@testable import FuseSnapshotter

/// What a start needed first, and what the next one does with it.
@Suite struct AccessTests {
  /// A layer of 39 spans in a file, and shelves with it.
  private final class Scene: Sendable {
    let scratch = ScratchDirectory("accesses")
    let index: LayerIndex
    let file: String
    let said = Mutex<[String]>([])
    let handed = Mutex<[[UInt8]]>([])

    init() throws {
      let tree = scratch.path + "/tree"
      try Files.makeDirectories(tree)
      file = scratch.path + "/layer.tar"
      let (status, output) = try run(["/bin/sh", "-ec", "head -c 10000000 /dev/urandom >'\(tree)/noise'; tar -C '\(tree)' -cf '\(file)' ."])
      if status != 0 { throw ContainerdError(.unknown, "tar ended with \(status): \(output)") }
      index = try LayerIndex.build(from: FileBytes(path: file), mediaType: "application/vnd.oci.image.layer.v1.tar", spanSize: 256 << 10)
    }

    /// The requests that were made for a layer.
    final class Source: LayerSource {
      let blob: LocalBlob
      let asked = Mutex<[Range<Int64>]>([])
      /// What is asked for below this place is not answered.
      let stalls = Mutex<Int64>(0)
      init(_ file: String) throws { blob = LocalBlob(try BlobFile(path: file)) }
      func read(_ range: Range<Int64>) async throws -> [UInt8] {
        asked.withLock { $0.append(range) }
        while range.lowerBound < stalls.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(10)) }
        return try await blob.read(range)
      }
    }

    func layer(_ name: String, accesses: [UInt8]? = nil, _ policy: LayerPolicy) throws -> (LayerShelf, LazyLayer, Source) {
      let shelf = try LayerShelf(
        root: "\(scratch.path)/\(name)/layers", policy: policy, log: { [weak self] line in self?.said.withLock { $0.append(line) } },
        recorded: { [weak self] _, bytes in self?.handed.withLock { $0.append(bytes) } })
      try shelf.place(index, bytes: try IndexFile.encode(index), accesses: accesses)
      let (source, blob) = (
        try Source(file), Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar", digest: index.blob, size: index.size)
      )
      let layer = try shelf.layer(.init(blob: blob, diffID: try #require(index.diffID), image: "registry.test/app@sha256:1"), source: source)
      return (shelf, layer, source)
    }

    func need(_ spans: [Int], of layer: LazyLayer) async throws {
      for span in spans {
        let range = layer.spans.archiveRange(span)
        let failure = await withCheckedContinuation { done in layer.want(range.lowerBound..<range.lowerBound + 1) { done.resume(returning: $0) } }
        if let failure { throw failure }
      }
    }

    var table: AccessList.Table { AccessList.Table(index) }
    func list(_ spans: [Int]) -> [UInt8] { AccessList(spans).encode(for: table) }
    func blob(_ spans: ClosedRange<Int>) -> Range<Int64> {
      index.spans[spans.lowerBound].blobRange.lowerBound..<index.spans[spans.upperBound].blobRange.upperBound
    }
  }

  private static func eventually(_ what: () -> Bool) async throws -> Bool {
    for _ in 0..<3000 {
      if what() { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  private static let onlyRead = LayerPolicy(fillsInBackground: false, recordPause: .milliseconds(20))

  @Test func theOrderOfFirstNeedIsWrittenDown() async throws {
    let scene = try Scene()
    #expect(scene.index.spans.count == 39)
    let (shelf, layer, _) = try scene.layer("one", Self.onlyRead)
    // Before the mount is there nobody needs anything.
    try await scene.need([7], of: layer)
    shelf.record(layer)
    try await scene.need([9, 2, 9, 3], of: layer)
    // What is here already is needed all the same.
    let there = layer.spans.archiveRange(7)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
    defer { buffer.deallocate() }
    #expect(try layer.copy(there.lowerBound..<there.lowerBound + 1, to: buffer))
    #expect(try !layer.copy(layer.spans.archiveRange(4), to: buffer))
    #expect(try await Self.eventually { scene.handed.withLock { $0.last } == scene.list([9, 2, 3, 7, 4]) })
    #expect(try Files.read(layer.directory + "/access") == scene.list([9, 2, 3, 7, 4]))
    // Another order is no change, and what is not new is not written.
    let times = scene.handed.withLock { $0.count }
    shelf.record(layer)
    try await scene.need([3, 2], of: layer)
    shelf.endRecording()
    #expect(scene.handed.withLock { $0.count } == times)
    // A layer that goes takes along what was needed last.
    shelf.record(layer)
    try await scene.need([0], of: layer)
    try shelf.remove(scene.index.blob)
    #expect(scene.handed.withLock { $0.last } == scene.list([9, 2, 3, 7, 4, 0]) && !Files.exists(layer.directory))
  }

  @Test func onlyWhileTheMountIsYoungAndOnlySoMuch() async throws {
    let scene = try Scene()
    var policy = Self.onlyRead
    policy.recording = .seconds(4)
    let (shelf, layer, _) = try scene.layer("young", policy)
    shelf.record(layer)
    try await scene.need([5], of: layer)
    #expect(try await Self.eventually { Files.exists(layer.directory + "/access") })
    try await Task.sleep(for: .milliseconds(4200))
    try await scene.need([6], of: layer)
    shelf.endRecording()
    #expect(try Files.read(layer.directory + "/access") == scene.list([5]))
    policy = Self.onlyRead
    policy.mostRecorded = 3
    let (other, bounded, _) = try scene.layer("bounded", policy)
    other.record(bounded)
    try await scene.need([8, 6, 4, 2], of: bounded)
    other.endRecording()
    #expect(try Files.read(bounded.directory + "/access") == scene.list([8, 6, 4]))
  }

  @Test func itIsFetchedBeforeAnybodyReadsAndBeforeTheRest() async throws {
    let scene = try Scene()
    // 14, 16 and 18 have small holes between them.
    let list = scene.list([16, 3, 18, 14])
    let (shelf, layer, source) = try scene.layer("only", accesses: list, Self.onlyRead)
    #expect(source.asked.withLock { $0.isEmpty })
    shelf.fill(layer)
    #expect(try await Self.eventually { layer.figures.fetched >= 6 << 18 })
    try await Task.sleep(for: .milliseconds(100))
    #expect(source.asked.withLock { $0 } == [scene.blob(14...18), scene.blob(3...3)], "\(source.asked.withLock { $0 })")
    let here = layer.progress.here
    try await scene.need([16, 3, 18, 14], of: layer)
    #expect(source.asked.withLock { $0.count } == 2 && layer.progress.here == here)
    // With the rest behind it.
    let (whole, filled, all) = try scene.layer("whole", accesses: list, LayerPolicy())
    whole.fill(filled)
    #expect(try await Self.eventually { filled.isComplete })
    #expect(all.asked.withLock { Array($0.prefix(3)) } == [scene.blob(14...18), scene.blob(3...3), scene.blob(0...2)])
    // Unless it is not wanted.
    var policy = Self.onlyRead
    policy.replaysAccesses = false
    let (off, still, none) = try scene.layer("off", accesses: list, policy)
    off.fill(still)
    try await Task.sleep(for: .milliseconds(100))
    #expect(none.asked.withLock { $0.isEmpty })
  }

  @Test func whoNeedsSomethingElseGoesFirst() async throws {
    let scene = try Scene()
    let (shelf, layer, source) = try scene.layer("first", accesses: scene.list([10, 30]), Self.onlyRead)
    source.stalls.withLock { $0 = 1 }
    let reading = Task { try await scene.need([0], of: layer) }
    #expect(try await Self.eventually { source.asked.withLock { !$0.isEmpty } })
    shelf.fill(layer)
    try await Task.sleep(for: .milliseconds(200))
    #expect(source.asked.withLock { $0 } == [scene.blob(0...0)])
    source.stalls.withLock { $0 = 0 }
    try await reading.value
    #expect(try await Self.eventually { source.asked.withLock { $0.count } == 3 })
  }

  @Test func aListThatDoesNotFitIsToldOfAndNotUsed() async throws {
    let scene = try Scene()
    var damaged = scene.list([1, 2, 3])
    damaged[50] ^= 1
    let other = try LayerIndex.build(from: FileBytes(path: scene.file), mediaType: "application/vnd.oci.image.layer.v1.tar", spanSize: 1 << 20)
    for (name, list) in [
      ("damaged", damaged), ("foreign", AccessList([1, 2]).encode(for: AccessList.Table(other))), ("empty", []),
      ("long", [UInt8](repeating: 7, count: AccessList.mostBytes + 9)),
    ] {
      scene.said.withLock { $0 = [] }
      let (shelf, layer, source) = try scene.layer(name, accesses: list, Self.onlyRead)
      #expect(scene.said.withLock { $0.count == 1 && $0[0].contains("\(scene.index.blob)") && $0[0].contains("is not fetched ahead") }, "\(name)")
      shelf.fill(layer)
      try await Task.sleep(for: .milliseconds(50))
      #expect(source.asked.withLock { $0.isEmpty }, "\(name)")
      // The layer is as lazy as without, and what is needed now takes its place.
      shelf.record(layer)
      try await scene.need([4], of: layer)
      shelf.endRecording()
      #expect(try Files.read(layer.directory + "/access") == scene.list([4]), "\(name)")
    }
  }

  @Test func theStatusSaysHowMuchOfItIsHere() async throws {
    let scene = try Scene()
    let (_, layer, _) = try scene.layer("status", accesses: scene.list([4, 5, 6, 7]), Self.onlyRead)
    let root = scene.scratch.path + "/status"
    #expect(try LazyStatus.read(root: root).unused.first?.recorded == .init(spans: 4, here: 0, all: 4 << 18))
    try await scene.need([5], of: layer)
    let recorded = try #require(try LazyStatus.read(root: root).unused.first?.recorded)
    #expect(recorded.here == 1 << 18 && recorded.percent == 25)
    try Files.writeAtomically(Array("CRACCESS".utf8), to: layer.directory + "/access")
    let status = try LazyStatus.read(root: root)
    #expect(status.unused.first?.recorded == nil && status.failures.contains { $0.contains("\(scene.index.blob)") && $0.contains("access") })
  }
}
