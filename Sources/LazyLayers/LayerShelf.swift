import BlockingIO
import CLinux
import LayerIndex
import Protocols
import Synchronization
import SystemKit

/// A directory with layers, each of which is opened once in a process: `ROOT/ALGORITHM/HEX`.
///
/// One task fills the layers that are asked to be filled, one request at a time: first with what earlier starts needed first, while nobody waits for anything else;
/// then with the rest, while nobody waits for anything.
public final class LayerShelf: Sendable {
  private let root: String
  private let policy: LayerPolicy
  private let work: WorkPlace
  private let pool = BlockingPool(label: "layers", width: 2)
  private let checks = BlockingPool(label: "checks of layers", width: 1)
  private let log: @Sendable (String) -> Void
  private let completed: @Sendable (LazyLayer) -> Void
  private let recorded: @Sendable (LazyLayer, [UInt8]) -> Void
  private struct State {
    var open: [Digest: LazyLayer] = [:]
    var replaying: [Digest] = []
    var filling: [Digest] = []
    var isFilling = false
  }
  private let state = Mutex(State())
  /// Directories of layers come into being and go one after another.
  private let placing = Mutex(())

  /// Makes the directory if it is not there. Blocking.
  /// - Parameters:
  ///   - work: where layers are checked once they are whole.
  ///   - completed: called when a layer has become whole, and was checked: right or poisoned. Must not block.
  ///   - recorded: called with a layer's AccessList when it has changed. May block.
  public init(
    root: String, policy: LayerPolicy = LayerPolicy(), work: WorkPlace = .here, log: @escaping @Sendable (String) -> Void,
    completed: @escaping @Sendable (LazyLayer) -> Void = { _ in }, recorded: @escaping @Sendable (LazyLayer, [UInt8]) -> Void = { _, _ in }
  ) throws(ContainerdError) {
    self.work = work
    self.completed = completed
    self.recorded = recorded
    self.root = root
    self.policy = policy
    self.log = log
    do { try Files.makeDirectories(root, mode: 0o700) } catch { throw ContainerdError(error, "layers \(root)") }
  }

  public func directory(of blob: Digest) -> String { "\(root)/\(blob.algorithm.rawValue)/\(blob.hex)" }

  /// Puts a layer's index on the shelf. What is there already stays, unless it was poisoned: then the layer begins anew. Blocking.
  /// - Parameter accesses: an AccessList of the layer, as a file; one that does not fit is told of when the layer is opened.
  public func place(_ index: LayerIndex, bytes: [UInt8], accesses: [UInt8]? = nil) throws {
    let spans = try SpanTable.encode(index)
    try place(index.blob) { directory throws(SystemError) in
      try Files.makeDirectories(directory, mode: 0o700)
      try Files.writeAtomically(bytes, to: directory + "/index")
      if let accesses { try Files.writeAtomically(accesses, to: "\(directory)/\(LazyLayer.accessFile)") }
      try Files.writeAtomically(spans, to: directory + "/spans")
    }
  }

  /// The same with one that was read before. It must not be placed twice. Blocking.
  public func place(_ index: ReadyIndex, accesses: [UInt8]? = nil) throws {
    try place(index.blob) { directory throws(SystemError) in
      try Files.makeDirectories(Files.parent(of: directory), mode: 0o700)
      try index.place(at: directory)
      if let accesses { try Files.writeAtomically(accesses, to: "\(directory)/\(LazyLayer.accessFile)") }
    }
  }

  /// - Parameter fill: makes the directory, which is not there.
  private func place(_ blob: Digest, _ fill: (String) throws(SystemError) -> Void) throws {
    let directory = directory(of: blob)
    let result: Result<Void, SystemError> = placing.withLock { _ in
      do throws(SystemError) {
        if isPoisoned(blob) { try discard(blob) }
        if Files.exists(directory + "/spans") { return .success(()) }
        // Without its spans it is of no use to anybody: somebody was killed at the wrong moment.
        try Files.removeTree(directory)
        try fill(directory)
        return .success(())
      } catch { return .failure(error) }
    }
    do { try result.get() } catch { throw ContainerdError(error, "layer \(blob)") }
  }

  /// The layer, whose index must have been placed. `source` is asked only if it is not open yet. Blocking.
  public func layer(_ name: LazyLayer.Name, source: @autoclosure () throws -> any LayerSource) throws -> LazyLayer {
    if let open = state.withLock({ $0.open[name.blob.digest] }) { return open }
    let made = try LazyLayer(
      name, directory: directory(of: name.blob.digest), source: try source(), policy: policy, work: work, pool: pool, checks: checks, log: log,
      completed: completed,
      recorded: recorded)
    return state.withLock { state in
      // Somebody else was faster: two objects for one file would not know of each other.
      if let open = state.open[name.blob.digest] { return open }
      state.open[name.blob.digest] = made
      return made
    }
  }

  public func openLayer(_ blob: Digest) -> LazyLayer? { state.withLock { $0.open[blob] } }

  /// Whether the layer turned out to be another than its image names. Blocking.
  public func isPoisoned(_ blob: Digest) -> Bool { openLayer(blob)?.isPoisoned ?? Files.exists(directory(of: blob) + "/poisoned") }

  /// Every layer that is open in this process.
  public var openLayers: [LazyLayer] { state.withLock { Array($0.open.values) } }

  /// Where a layer's index is, as it was placed.
  public func index(of blob: Digest) -> String { directory(of: blob) + "/index" }

  /// Every layer that has a directory. Blocking.
  public func digests() throws -> [Digest] {
    var found: [Digest] = []
    for algorithm in Digest.Algorithm.allCases {
      let directory = "\(root)/\(algorithm.rawValue)"
      if !Files.exists(directory) { continue }
      // What is no digest is not ours.
      found += try Files.names(in: directory).compactMap { try? Digest(parsing: "\(algorithm.rawValue):\($0)") }
    }
    return found
  }

  /// Forgets a layer and removes what is here of it. Who still reads it goes on reading. Blocking.
  /// - Parameter isWanted: asked at the last moment: nobody places it from then on until it is gone.
  public func remove(_ blob: Digest, unless isWanted: () -> Bool = { false }) throws {
    let result: Result<Void, SystemError> = placing.withLock { _ in
      if isWanted() { return .success(()) }
      do throws(SystemError) { return .success(try discard(blob)) } catch { return .failure(error) }
    }
    do { try result.get() } catch { throw ContainerdError(error, "layer \(blob)") }
  }

  private func discard(_ blob: Digest) throws(SystemError) {
    let open = state.withLock { state in
      state.replaying.removeAll { $0 == blob }
      state.filling.removeAll { $0 == blob }
      return state.open.removeValue(forKey: blob)
    }
    open?.endRecording()
    try Files.removeTree(directory(of: blob))
  }

  // MARK: filling

  /// Has a layer that was mounted filled as far as the policy has it, after those that were asked for before.
  public func fill(_ layer: LazyLayer) {
    let (digest, hasReplay) = (layer.name.blob.digest, layer.hasReplay)
    let starts = state.withLock { state in
      if policy.replaysAccesses, hasReplay, !state.replaying.contains(digest) { state.replaying.append(digest) }
      if policy.fillsInBackground, !state.filling.contains(digest) { state.filling.append(digest) }
      if state.isFilling || (state.filling.isEmpty && state.replaying.isEmpty) { return false }
      state.isFilling = true
      return true
    }
    if starts { Task { await fillAll() } }
  }

  /// Writes down what is needed of a layer first, for its next mount.
  public func record(_ layer: LazyLayer) { layer.record() }

  /// For the end of the process: what was needed first is on disk afterwards. Blocking.
  public func endRecording() { for layer in openLayers { layer.endRecording() } }

  private func fillAll() async {
    var pause = policy.firstPause
    while let (layer, isReplay) = next() {
      if isReplay {
        await replay(layer)
        continue
      }
      if isWanted() {
        await Self.sleep(.milliseconds(20))
        continue
      }
      if await layer.fill() {
        pause = policy.firstPause
        continue
      }
      if layer.isComplete || layer.isPoisoned || layer.presence.isWhole {
        state.withLock { state in state.filling.removeAll { $0 == layer.name.blob.digest } }
        continue
      }
      // It could not be fetched now. The next in the queue may have more luck.
      state.withLock { state in
        if let first = state.filling.first {
          state.filling.removeFirst()
          state.filling.append(first)
        }
      }
      await Self.sleep(pause)
      pause = min(pause * 2, policy.longestPause)
    }
  }

  /// One request for what an earlier start needed. After some tries that is left to those who need it now.
  private func replay(_ layer: LazyLayer) async {
    if state.withLock({ Array($0.open.values) }).contains(where: \.isWantedBesideList) { return await Self.sleep(.milliseconds(20)) }
    for number in 0..<4 {
      switch await layer.replay() {
      case .fetched: return
      case .failed: await Self.sleep(min(policy.firstPause * (1 << number), policy.longestPause))
      case .nothing:
        state.withLock { state in state.replaying.removeAll { $0 == layer.name.blob.digest } }
        return
      }
    }
    log("layer \(layer.name.blob.digest): what an earlier start needed first cannot be fetched ahead now")
    state.withLock { state in state.replaying.removeAll { $0 == layer.name.blob.digest } }
  }

  private static func sleep(_ duration: Duration) async {
    // Nobody cancels this task.
    try? await Task.sleep(for: duration)
  }

  private func next() -> (LazyLayer, isReplay: Bool)? {
    state.withLock { state in
      while let first = state.replaying.first {
        if let layer = state.open[first] { return (layer, true) }
        state.replaying.removeFirst()
      }
      while let first = state.filling.first {
        if let layer = state.open[first] { return (layer, false) }
        state.filling.removeFirst()
      }
      state.isFilling = false
      return nil
    }
  }

  /// Whether somebody waits, or waited a moment ago: a program that starts reads in bursts.
  private func isWanted() -> Bool {
    let layers = state.withLock { Array($0.open.values) }
    let now = ContinuousClock.now
    return layers.contains { layer in layer.state.withLock { !$0.waiting.isEmpty || $0.lastWish.map { now - $0 < policy.quiet } ?? false } }
  }
}
