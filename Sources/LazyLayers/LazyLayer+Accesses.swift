import BlockingIO
import LayerIndex
import Protocols
import Synchronization
import SystemKit

/// What somebody needed first, written down while a mount is young, and fetched at once when there is another.
///
/// A list only grows: a start that needs less than the one before takes nothing from it, and one in another order changes nothing. So it is written seldom, and what
/// a container needed that was ended early does not displace what a longer one needed.
extension LazyLayer {
  /// In the layer's directory.
  public static let accessFile = "access"

  struct Accesses {
    /// In the order in which they were first needed.
    var list: [Int] = []
    var listed: Set<Int> = []
    /// What was known when the layer was opened, which is fetched ahead.
    var replayed: Set<Int> = []
    var replayPlace = 0
    var recordsUntil: ContinuousClock.Instant?
    var isChanged = false
    var hasRecorder = false
  }

  /// The list of an earlier start, if there is one that fits. What does not fit is told of, and is as if it were not there. Blocking.
  static func accesses(in directory: String, _ spans: SpanTable, _ log: (String) -> Void) -> Accesses {
    let path = "\(directory)/\(accessFile)"
    var accesses = Accesses()
    if !Files.exists(path) { return accesses }
    do {
      accesses.list = try AccessList(decoding: try Files.read(path, limit: AccessList.mostBytes), of: AccessList.Table(spans)).spans
      accesses.listed = Set(accesses.list)
      accesses.replayed = accesses.listed
    } catch { log("layer \(spans.blob): what an earlier start needed first is not fetched ahead: \((error as? ContainerdError)?.message ?? "\(error)")") }
    return accesses
  }

  // MARK: recording

  /// Writes down from now on what is needed first, for as long as the policy has it.
  func record() {
    let starts = state.withLock { state in
      isRecording.store(true, ordering: .relaxed)
      state.accesses.recordsUntil = .now + policy.recording
      defer { state.accesses.hasRecorder = true }
      return !state.accesses.hasRecorder
    }
    if !starts { return }
    // Not to keep alive what nobody has any more.
    Task { [weak self, pause = policy.recordPause] in
      repeat {
        do { try await Task.sleep(for: pause) } catch { return }
      } while await self?.goOnRecording() ?? false
    }
  }

  /// - Returns: whether there is more to come.
  private func goOnRecording() async -> Bool {
    let goesOn = state.withLock { state in
      if let end = state.accesses.recordsUntil, end > .now { return true }
      state.accesses.recordsUntil = nil
      state.accesses.hasRecorder = false
      isRecording.store(false, ordering: .relaxed)
      return false
    }
    await pool.run { [self] in saveAccesses() }
    return goesOn
  }

  /// For the end of the process, or of the layer here. Blocking.
  func endRecording() {
    isRecording.store(false, ordering: .relaxed)
    state.withLock { $0.accesses.recordsUntil = nil }
    saveAccesses()
  }

  /// Somebody needs these spans, whether they are here or not.
  func note(_ wanted: Range<Int>) {
    if !isRecording.load(ordering: .relaxed) { return }
    state.withLock { state in
      guard let end = state.accesses.recordsUntil, end > .now else { return }
      for span in wanted where state.accesses.list.count < policy.mostRecorded && state.accesses.listed.insert(span).inserted {
        state.accesses.list.append(span)
        state.accesses.isChanged = true
      }
    }
  }

  private func saveAccesses() { saving.withLock { _ in saveChanges() } }

  private func saveChanges() {
    let list = state.withLock { state -> AccessList? in
      if !state.accesses.isChanged { return nil }
      state.accesses.isChanged = false
      return AccessList(state.accesses.list)
    }
    guard let list else { return }
    let bytes = list.encode(for: AccessList.Table(spans))
    do {
      // A layer that was removed meanwhile has no directory, and gets none.
      try Files.writeAtomically(bytes, to: "\(directory)/\(Self.accessFile)")
      recorded(self, bytes)
    } catch { if Files.exists("\(directory)/spans") { log("layer \(name.blob.digest): what was needed first could not be written down: \(error)") } }
  }

  // MARK: replaying

  enum Replay { case fetched, failed, nothing }

  /// Whether there is anything that an earlier start needed and that nobody has asked for yet.
  var hasReplay: Bool { state.withLock { $0.accesses.replayPlace < $0.accesses.replayed.count } }

  /// Whether somebody waits for what no list has: that goes first.
  var isWantedBesideList: Bool { state.withLock { state in state.waiting.keys.contains { !state.accesses.replayed.contains($0) } } }

  /// Fetches the next of what an earlier start needed, with what lies near it and was needed too. Not to be called twice at a time.
  func replay() async -> Replay {
    let run: Range<Int>? = state.withLock { state in
      guard case .filling = state.phase else { return nil }
      func isOpen(_ span: Int) -> Bool { !presence[span] && !state.flying.contains(span) && !state.queued.contains(span) }
      while state.accesses.replayPlace < state.accesses.replayed.count {
        let first = state.accesses.list[state.accesses.replayPlace]
        guard isOpen(first) else {
          state.accesses.replayPlace += 1
          continue
        }
        let run = around(first) { isOpen($0) ? state.accesses.replayed.contains($0) : nil }
        state.flying.formUnion(run)
        return run
      }
      return nil
    }
    guard let run else { return .nothing }
    return await load(run) ? .fetched : .failed
  }

  /// A run of spans that one request can ask for: those on the list, and small holes between them.
  /// - Parameter isListed: nil for a span that must not be in it.
  private func around(_ first: Int, _ isListed: (Int) -> Bool?) -> Range<Int> {
    var (low, high) = (first, first)
    func bytes(_ low: Int, _ high: Int) -> Int64 { spans.blobRange(high).upperBound - spans.blobRange(low).lowerBound }
    var next = first + 1
    while next < spans.count, let listed = isListed(next), bytes(low, next) <= policy.backgroundBytes {
      if listed { high = next } else if bytes(high + 1, next) > Self.smallHole { break }
      next += 1
    }
    next = first - 1
    while next >= 0, let listed = isListed(next), bytes(next, high) <= policy.backgroundBytes {
      if listed { low = next } else if bytes(next, low - 1) > Self.smallHole { break }
      next -= 1
    }
    return low..<high + 1
  }
  /// Costs less than a request of its own.
  private static let smallHole: Int64 = 256 << 10
}
