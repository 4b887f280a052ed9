import Synchronization

/// Lines about things that can go wrong as often as somebody tries: a burst of them is told, then how many more there were. Safe from any thread.
final class SparingLog: Sendable {
  private struct State {
    var since = ContinuousClock.now
    var told = 0
    var kept = 0
  }
  private let state = Mutex(State())
  private let most: Int
  private let period: Duration
  private let log: @Sendable (String) -> Void

  /// - Parameters:
  ///   - most: lines that are told in a period.
  init(most: Int = 20, period: Duration = .seconds(10), _ log: @escaping @Sendable (String) -> Void) {
    self.most = most
    self.period = period
    self.log = log
  }

  /// - Parameter line: made only if it is told.
  func add(_ line: () -> String) {
    let (isTold, kept): (Bool, Int) = state.withLock { state in
      let now = ContinuousClock.now
      if now - state.since >= period { (state.since, state.told) = (now, 0) }
      if state.told == most {
        state.kept += 1
        return (false, 0)
      }
      state.told += 1
      defer { state.kept = 0 }
      return (true, state.kept)
    }
    if isTold { log(kept == 0 ? line() : "\(line()) (and \(kept) times more, since it was last told)") }
  }
}
