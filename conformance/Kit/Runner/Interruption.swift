import CLinux
import Synchronization

/// A wish to end a run early: what runs is ended, what waits is not begun, and what was judged is reported.
public final class Interruption: Sendable {
  private struct State {
    var isSet = false
    var workers: Set<pid_t> = []
  }
  private let state = Mutex(State())
  public init() {}

  public var isSet: Bool { state.withLock { $0.isSet } }

  /// - Returns: whether this was the first time.
  @discardableResult
  public func set() -> Bool {
    state.withLock { state in
      defer { state.isSet = true }
      for worker in state.workers { Self.end(worker) }
      return !state.isSet
    }
  }

  func began(_ worker: pid_t) {
    state.withLock { state in
      state.workers.insert(worker)
      if state.isSet { Self.end(worker) }
    }
  }

  /// Before its status is fetched: its number may be another's afterwards.
  func ended(_ worker: pid_t) { state.withLock { _ = $0.workers.remove(worker) } }

  private static func end(_ worker: pid_t) {
    kill(-worker, SIGKILL)
    kill(worker, SIGKILL)
  }
}
