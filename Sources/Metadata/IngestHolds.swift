import Protocols
import Synchronization

/// Which ingests have an open writer: one at a time, whether it uploads or only links.
final class IngestHolds: Sendable {
  /// A hold is let go by the writer that has it, not by an earlier writer of the same ref that closes late.
  struct Hold: Hashable, Sendable {
    let backendRef: String
    fileprivate let number: UInt64
  }

  private struct State {
    var next: UInt64 = 0
    var held: [String: UInt64] = [:]
  }
  private let state = Mutex(State())

  /// nil while somebody holds it.
  func take(_ backendRef: String) -> Hold? {
    state.withLock { state in
      if state.held[backendRef] != nil { return nil }
      state.next += 1
      state.held[backendRef] = state.next
      return Hold(backendRef: backendRef, number: state.next)
    }
  }

  func isTaken(_ backendRef: String) -> Bool { state.withLock { $0.held[backendRef] != nil } }

  func isCurrent(_ hold: Hold) -> Bool { state.withLock { $0.held[hold.backendRef] == hold.number } }

  func release(_ hold: Hold) { state.withLock { if $0.held[hold.backendRef] == hold.number { $0.held[hold.backendRef] = nil } } }

  /// The ingest is gone: its writer, if any, has lost it.
  func revoke(_ backendRef: String) { state.withLock { $0.held[backendRef] = nil } }
}
