import Synchronization

/// How fast all answers together may leave, changeable at any time: a network's bottleneck.
final class RegistryThrottle: Sendable {
  private struct State {
    var rate: Int64?
    /// When everything that has been promised has left.
    var busyUntil = ContinuousClock.now
  }
  private let state = Mutex(State())

  var rate: Int64? {
    get { state.withLock { $0.rate } }
    set {
      state.withLock { state in
        state.rate = newValue
        // Promises made at another rate are forgotten.
        state.busyUntil = .now
      }
    }
  }

  /// When these bytes may leave; nil for at once.
  func turn(_ bytes: Int) -> ContinuousClock.Instant? {
    state.withLock { state in
      guard let rate = state.rate else { return nil }
      state.busyUntil = max(state.busyUntil, .now) + .nanoseconds(Int64(Double(bytes) / Double(max(1, rate)) * 1e9))
      return state.busyUntil
    }
  }
}
