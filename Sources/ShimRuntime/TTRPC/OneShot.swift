import Synchronization

/// A result that arrives once and may be awaited by any number of tasks; whoever resolves first decides, later resolutions are
/// ignored.
final class OneShot<Value: Sendable>: Sendable {
  private enum State {
    case waiting([CheckedContinuation<Value, any Error>])
    case resolved(Result<Value, any Error>)
  }

  private let state = Mutex(State.waiting([]))

  var isResolved: Bool {
    state.withLock { if case .resolved = $0 { true } else { false } }
  }

  func resolve(_ result: Result<Value, any Error>) {
    let waiting: [CheckedContinuation<Value, any Error>] = state.withLock { state in
      guard case .waiting(let waiting) = state else { return [] }
      state = .resolved(result)
      return waiting
    }
    for continuation in waiting { continuation.resume(with: result) }
  }

  var value: Value {
    get async throws {
      try await withCheckedThrowingContinuation { continuation in
        let result: Result<Value, any Error>? = state.withLock { state in
          switch state {
          case .waiting(let waiting):
            state = .waiting(waiting + [continuation])
            return nil
          case .resolved(let result):
            return result
          }
        }
        if let result { continuation.resume(with: result) }
      }
    }
  }
}
