import Protocols
import Synchronization

/// Has the indexes of layers made that clients have unpacked: one after another, and none while a client is busy, who would have to share the machine.
///
/// A client is busy as long as it has a layer unpacked, and for a moment after everything that it asks for; but where somebody asks all the time nobody is
/// waited for. Safe from any thread.
final class LaterIndexes: Sendable {
  private struct State {
    var waiting: [LazyRequest] = []
    var isRunning = false
    var isClosed = false
    var lastCall: ContinuousClock.Instant
    /// Since when the first one waits for a quiet moment.
    var since: ContinuousClock.Instant?
    /// Snapshots that are unpacked into, by their keys, and since when.
    var unpacking: [String: ContinuousClock.Instant] = [:]
  }
  private let state: Mutex<State>
  private let quiet: Duration
  private let now: @Sendable () -> ContinuousClock.Instant
  private let make: @Sendable (LazyRequest) async -> Void
  /// A client that has not committed after that long does not come back, or takes so long that it will not notice.
  private static let longest = Duration.seconds(120)
  /// How many times the quiet moment is waited for one, at most.
  private static let mostMoments = 3

  init(
    quiet: Duration, now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }, make: @escaping @Sendable (LazyRequest) async -> Void
  ) {
    state = Mutex(State(lastCall: now()))
    self.quiet = quiet
    self.now = now
    self.make = make
  }

  /// A client has asked for a snapshot to write to.
  func prepared(_ key: String) {
    let now = now()
    state.withLock { state in
      state.lastCall = now
      // What containerd's clients call a layer that is being unpacked, behind what the metadata store puts in front. Containers live as long as they like.
      if key.split(separator: "/").last?.hasPrefix("extract-") == true { state.unpacking[key] = now }
    }
  }

  /// It is committed, or removed.
  func ended(_ key: String) {
    let now = now()
    state.withLock { state in
      state.lastCall = now
      state.unpacking[key] = nil
    }
  }

  /// Returns at once.
  func add(_ request: LazyRequest) {
    let isFirst = state.withLock { state in
      if state.isClosed { return false }
      state.waiting.append(request)
      defer { state.isRunning = true }
      return !state.isRunning
    }
    if isFirst { Task { await run() } }
  }

  /// What waits is forgotten.
  func close() {
    state.withLock { state in
      state.isClosed = true
      state.waiting = []
    }
  }

  private func run() async {
    while true {
      if let pause {
        // Nobody cancels this task.
        try? await Task.sleep(for: pause)
        continue
      }
      let next = state.withLock { state -> LazyRequest? in
        if state.waiting.isEmpty {
          state.isRunning = false
          return nil
        }
        state.since = nil
        return state.waiting.removeFirst()
      }
      guard let next else { return }
      await make(next)
    }
  }

  /// How long to wait before it makes sense to look again; nil while nobody is busy.
  private var pause: Duration? {
    let now = now()
    return state.withLock { state in
      if state.waiting.isEmpty { return nil }
      state.unpacking = state.unpacking.filter { now - $0.value < Self.longest }
      if !state.unpacking.isEmpty { return quiet }
      let since = state.since ?? now
      state.since = since
      let left = min(quiet - (now - state.lastCall), quiet * Self.mostMoments - (now - since))
      return left > .zero ? left : nil
    }
  }
}
