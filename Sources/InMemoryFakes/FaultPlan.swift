import Protocols
import Synchronization

/// Which calls go wrong, and how. Shared by any number of fakes.
///
///     let faults = FaultPlan()
///     faults.add(.fail(.unavailable("disk")), to: "content.commit", call: 2)
///     faults.add(.drop(afterBytes: 1000), to: "registry.fetch")
///
/// An operation is named as in the trace: `component.operation`. Calls count from 1, per operation, over all fakes that share the plan.
public final class FaultPlan: Sendable {
  public enum Fault: Hashable, Sendable {
    /// The call does nothing and throws this.
    case fail(ContainerdError)
    /// The call does its work and then throws this, as when the answer is lost. Only operations that change something heed it.
    case failAfter(ContainerdError)
    /// The call waits before it begins. Operations that are not asynchronous do not heed it.
    case delay(Duration)
    /// The stream that the call opens throws `unavailable` after so many bytes.
    case drop(afterBytes: Int64)
  }

  /// What is left for the operation itself to do.
  struct Aftermath: Sendable {
    var dropAfter: Int64?
    var error: ContainerdError?
    func finish() throws(ContainerdError) { if let error { throw error } }
  }

  private struct Entry {
    var operation: String
    /// nil for every call.
    var call: Int?
    var fault: Fault
  }
  private struct State {
    var entries: [Entry] = []
    var counts: [String: Int] = [:]
  }
  private let state = Mutex(State())

  public init() {}

  /// Adds a fault to call number `call` of an operation, counted from the making of the plan; to every call where nil.
  public func add(_ fault: Fault, to operation: String, call: Int? = nil) {
    state.withLock { $0.entries.append(Entry(operation: operation, call: call, fault: fault)) }
  }

  /// Adds a fault to the next call of an operation.
  public func addNext(_ fault: Fault, to operation: String) {
    state.withLock { state in
      let call = state.counts[operation, default: 0] + 1
      state.entries.append(Entry(operation: operation, call: call, fault: fault))
    }
  }

  public func clear() { state.withLock { $0.entries = [] } }

  /// How often an operation has been called.
  public func count(_ operation: String) -> Int { state.withLock { $0.counts[operation, default: 0] } }

  /// Counts a call, and says what becomes of it: for whoever puts faults before a part of its own.
  public func next(_ operation: String) -> [Fault] {
    state.withLock { state in
      state.counts[operation, default: 0] += 1
      let call = state.counts[operation]
      return state.entries.filter { $0.operation == operation && ($0.call == nil || $0.call == call) }.map(\.fault)
    }
  }
}
