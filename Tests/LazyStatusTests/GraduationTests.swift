import BlockingIO
import CLinux
import LayerIndex
import LazyLayers
import OverlaySnapshotter
import Protocols
import SnapshotIndex
import Synchronization
import SystemKit
import TestSupport
import Testing

@testable import FuseSnapshotter

@Suite struct GraduationTests {
  /// Goes on putting files into the tree, as through a mount of it, for as long as it is given what it unpacks.
  private final class EndlessApplier: LayerApplier {
    private let begun = Atomic(false)
    private let ended = Mutex<(any Error)?>(nil)
    var hasBegun: Bool { begun.load(ordering: .relaxed) }
    var outcome: (any Error)? { ended.withLock { $0 } }

    func apply(_ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions) async throws -> Descriptor {
      do {
        let directory = try Files.open(try #require(mounts.first).source, O_PATH | O_DIRECTORY)
        let reader = try await content.reader(layer.digest)
        var number = 0
        while true {
          _ = try await reader.read(at: 0, count: 1)
          number += 1
          try Files.writeAtomically([1], to: "/proc/self/fd/\(directory.raw)/\(number)")
          begun.store(true, ordering: .relaxed)
        }
      } catch {
        ended.withLock { $0 = error }
        throw error
      }
    }
  }

  private final class Said: Sendable {
    private let state = Mutex<[String]>([])
    func append(_ line: String) { state.withLock { $0.append(line) } }
    var lines: [String] { state.withLock { $0 } }
  }

  /// A lazy snapshot whose only layer is complete.
  private static func complete() async throws -> (LazyStatusTests.Scene, OverlaySnapshotter, SnapshotEntry) {
    let scene = try LazyStatusTests.Scene()
    let overlay = try OverlaySnapshotter(root: scene.root)
    let record = try scene.record
    let entry = try await overlay.adopt("lazy", parent: nil, labels: [:]) { try record.write(in: $0) }
    let layer = try await scene.load(0..<scene.index.archiveSize)
    for _ in 0..<3000 where !layer.isComplete { try await Task.sleep(for: .milliseconds(20)) }
    try #require(layer.isComplete)
    return (scene, overlay, entry)
  }

  @Test func aSnapshotThatGoesWhileItIsUnpackedIsGone() async throws {
    let (scene, overlay, entry) = try await Self.complete()
    let (applier, said) = (EndlessApplier(), Said())
    let unions = UnionMounts(root: scene.root, command: nil, isWanted: false) { _ in }
    let graduation = Graduation(overlay, scene.shelf, applier, unions, BlockingPool(label: "graduation", width: 2)) { said.append($0) }
    let run = Task { await graduation.run() }
    for _ in 0..<6000 where !applier.hasBegun { try await Task.sleep(for: .milliseconds(5)) }
    #expect(applier.hasBegun)
    await graduation.begin(removing: entry.id)
    #expect((applier.outcome as? ContainerdError)?.code == .canceled)
    try await overlay.remove("lazy")
    #expect(try Files.names(in: scene.root + "/snapshots") == [])
    await graduation.end(removing: entry.id)
    await run.value
    // Nothing is wrong with it, and nothing of it has come back.
    #expect(said.lines == [])
    #expect(try Files.names(in: scene.root + "/snapshots") == [])
  }

  @Test func aSnapshotThatStaysAfterAllIsUnpacked() async throws {
    let (scene, overlay, entry) = try await Self.complete()
    /// The first time it waits to be stopped.
    final class SecondApplier: LayerApplier {
      let endless = EndlessApplier()
      private let count = Atomic(0)
      var calls: Int { count.load(ordering: .relaxed) }
      func apply(_ layer: Descriptor, from content: any ContentProvider, to mounts: [Mount], options: ApplyOptions) async throws -> Descriptor {
        if count.add(1, ordering: .relaxed).newValue == 1 { return try await endless.apply(layer, from: content, to: mounts, options: options) }
        return layer
      }
    }
    let applier = SecondApplier()
    let unions = UnionMounts(root: scene.root, command: nil, isWanted: false) { _ in }
    let graduation = Graduation(overlay, scene.shelf, applier, unions, BlockingPool(label: "graduation", width: 2)) { _ in }
    let run = Task { await graduation.run() }
    for _ in 0..<6000 where !applier.endless.hasBegun { try await Task.sleep(for: .milliseconds(5)) }
    await graduation.begin(removing: entry.id)
    await graduation.end(removing: entry.id)
    await run.value
    for _ in 0..<3000 where !Graduation.isDone(overlay.directory(entry.id)) { try await Task.sleep(for: .milliseconds(10)) }
    #expect(Graduation.isDone(overlay.directory(entry.id)) && applier.calls == 2)
    #expect(try Files.names(in: overlay.upper(entry.id)) == [])
  }
}
