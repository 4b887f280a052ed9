import BlockingIO
import CLinux
import LayerIndex
import LazyLayers
import OverlaySnapshotter
import Protocols
import SnapshotIndex
import SystemKit

/// A chain of layers that is complete becomes what it would have been without us: a plain directory for each layer. Containers that run stay on their
/// mount; those that come later stand on the directories, and nothing of theirs passes through FUSE.
///
/// The layers are unpacked by an applier, as a client would, from below: each onto an overlay of those below it, or a union.
actor Graduation {
  private static let mark = "graduated"
  private static let scratch = "graduating"

  private let overlay: OverlaySnapshotter
  private let shelf: LayerShelf
  private let applier: any LayerApplier
  private let unions: UnionMounts
  private let pool: BlockingPool
  private let log: @Sendable (String) -> Void
  private var isRunning = false
  private var isAskedAgain = false
  /// What is being unpacked now.
  private var current: (id: Int64, work: Task<Void, any Error>, stop: Stop)?
  /// Snapshots that are about to go.
  private var leaving: [Int64: Int] = [:]
  private var stopped: Set<Int64> = []

  init(
    _ overlay: OverlaySnapshotter, _ shelf: LayerShelf, _ applier: any LayerApplier, _ unions: UnionMounts, _ pool: BlockingPool,
    log: @escaping @Sendable (String) -> Void
  ) {
    self.overlay = overlay
    self.shelf = shelf
    self.applier = applier
    self.unions = unions
    self.pool = pool
    self.log = log
  }

  /// Whether a lazy snapshot's own directory has its files. Blocking.
  static func isDone(_ directory: String) -> Bool { Files.exists("\(directory)/\(mark)") }

  /// A snapshot is about to be removed: nothing is put into its directory from here on.
  func begin(removing id: Int64) async {
    leaving[id, default: 0] += 1
    guard let current, current.id == id else { return }
    stopped.insert(id)
    current.stop.order()
    _ = await current.work.result
  }

  /// It was removed, or stays after all: then it is unpacked after all.
  func end(removing id: Int64) async {
    let left = (leaving[id] ?? 1) - 1
    leaving[id] = left == 0 ? nil : left
    if left == 0, stopped.remove(id) != nil { await run() }
  }

  /// Unpacks every layer that can be: one that is complete, on layers that are in directories.
  func run() async {
    isAskedAgain = true
    if isRunning { return }
    isRunning = true
    while isAskedAgain {
      isAskedAgain = false
      do {
        // From below: a snapshot has a lower number than what stands on it.
        for entry in try await overlay.entries().sorted(by: { $0.id < $1.id }) where entry.info.kind == .committed {
          if leaving[entry.id] != nil {
            stopped.insert(entry.id)
            continue
          }
          let stop = Stop()
          let work = Task { try await unpack(entry, stop) }
          current = (entry.id, work, stop)
          defer { current = nil }
          do { try await work.value } catch let error as ContainerdError where error.code == .notFound || error.code == .canceled {
            // Removed meanwhile.
          } catch { log("snapshot \(entry.info.name) stays lazy: \(error)") }
        }
      } catch { log("layers that are complete stay lazy: \(error)") }
    }
    isRunning = false
  }

  private nonisolated func unpack(_ entry: SnapshotEntry, _ stop: Stop) async throws {
    let directory = overlay.directory(entry.id)
    let (scratch, overlay, unions, union) = ("\(directory)/\(Self.scratch)", overlay, unions, UnionMounts.scratch(entry.id))
    let plan: (LazyLayer, [Mount])? = try await pool.run { [shelf] in
      guard let record = try LazyRecord.read(in: directory), !Self.isDone(directory), let last = record.layers.last else { return nil }
      for parent in entry.parentIDs {
        let below = overlay.directory(parent)
        if try LazyRecord.read(in: below) != nil, !Self.isDone(below) { return nil }
      }
      guard let layer = shelf.openLayer(try Digest(parsing: last.digest)), layer.isComplete else { return nil }
      // What one that was killed has left.
      try unions.drop(union, force: true)
      try Files.removeTree(scratch)
      return (layer, try overlay.stack(in: scratch, on: entry.parentIDs, as: union))
    }
    guard let (layer, mounts) = plan else { return }
    let (content, options) = (StoppedContent(base: layer, stop: stop), ApplyOptions(diffID: layer.name.diffID, sync: true))
    do { _ = try await applier.apply(layer.content, from: content, to: mounts, options: options) } catch {
      try await pool.run {
        try unions.drop(union, force: true)
        // Half of a layer is of no use to anybody, and a full disk stays full with it.
        try Files.removeTree(scratch)
      }
      throw error
    }
    try await pool.run {
      try unions.drop(union, force: true)
      let fs = overlay.upper(entry.id)
      // Empty until now, and nobody's lower directory.
      try Files.removeTree(fs)
      try check("rename", fs) { rename("\(scratch)/fs", fs) }
      unions.describe(fs, of: entry.info.name)
      try Files.writeAtomically([], to: "\(directory)/\(Self.mark)")
      try Files.removeTree(scratch)
    }
    log("snapshot \(entry.info.name) is in a plain directory now: later containers need no FUSE for it")
  }
}
