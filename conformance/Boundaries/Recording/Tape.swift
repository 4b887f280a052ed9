import ConformanceSuites
import InMemoryFakes
import Protocols
import Synchronization

/// Everything that was said between a pipeline and its parts: each call with what it was given, when it began and ended, and how.
///
/// Faults of the plan meet the calls here, before the part sees them, so any part can fail at any call: real or fake, in memory or behind a socket.
public final class Tape: Sendable {
  public enum Part: String, Sendable, CaseIterable, Hashable { case registry, content, snapshots, applier, runtime }

  public struct Call: Sendable, CustomStringConvertible {
    public var part: Part
    public var operation: String
    /// Every text that the part was given: names, digests, keys, labels, annotations.
    public var arguments: [String]
    /// The mounts that the part was given, or gave.
    public var mounts: [Mount] = []
    /// What the part answered, where that is of interest.
    public var answer = ""
    public var failure: ContainerdError.Code?
    /// Moments count up with every beginning and every end of a call.
    public var begun: Int
    public var ended: Int?

    /// `snapshots.prepare`: as faults name it.
    public var name: String { "\(part.rawValue).\(operation)" }
    public var succeeded: Bool { ended != nil && failure == nil }
    public var description: String { "\(name)(\(arguments.joined(separator: ", ")))\(failure.map { " failed: \($0.rawValue)" } ?? "")" }

    /// Whether this was over before the other began.
    public func isBefore(_ other: Call) -> Bool { ended.map { $0 < other.begun } ?? false }
  }

  private struct State {
    var calls: [Call] = []
    var moment = 0
    /// What is open, by the index of the call that opened it.
    var open: [Int: String] = [:]
    var watch: (@Sendable (Call, Bool) -> Void)?
  }
  private let state = Mutex(State())
  public let faults = FaultPlan()

  public init() {}

  public var calls: [Call] { state.withLock { $0.calls } }
  public var names: [String] { calls.map(\.name) }
  public func calls(of part: Part) -> [Call] { calls.filter { $0.part == part } }
  public func calls(named name: String) -> [Call] { calls.filter { $0.name == name } }
  /// Forgets the calls; what is open stays open.
  public func rewind() { state.withLock { $0.calls = [] } }

  /// Writers, readers and streams that were opened and not let go of.
  public var open: [String] { state.withLock { $0.open.values.sorted() } }
  func opened(_ what: String) -> Int {
    state.withLock { state in
      state.moment += 1
      state.open[state.moment] = what
      return state.moment
    }
  }
  func closed(_ id: Int) { state.withLock { _ = $0.open.removeValue(forKey: id) } }

  /// Is told of every call, when it begins (true) and when it has ended (false).
  public func watch(_ body: (@Sendable (Call, Bool) -> Void)?) { state.withLock { $0.watch = body } }

  func perform<Value>(
    _ part: Part, _ operation: String, _ arguments: [String], mounts: [Mount] = [], told: (Value, inout Call) -> Void = { _, _ in },
    _ body: () async throws -> Value
  ) async throws -> Value {
    let index = begin(part, operation, arguments, mounts)
    do {
      var after: ContainerdError?
      for fault in faults.next("\(part.rawValue).\(operation)") {
        switch fault {
        case .fail(let error): throw error
        case .failAfter(let error): after = error
        case .delay(let time):
          do { try await Task.sleep(for: time) } catch { throw ContainerdError(.canceled, "\(part.rawValue).\(operation)") }
        case .drop: break
        }
      }
      let value = try await body()
      if let after { throw after }
      end(index) { told(value, &$0) }
      return value
    } catch {
      end(index) { $0.failure = (error as? ContainerdError)?.code ?? .unknown }
      throw error
    }
  }

  /// For operations that cannot wait.
  func performNow<Value>(_ part: Part, _ operation: String, _ arguments: [String], _ body: () throws -> Value) throws -> Value {
    let index = begin(part, operation, arguments, [])
    do {
      for case .fail(let error) in faults.next("\(part.rawValue).\(operation)") { throw error }
      let value = try body()
      end(index) { _ in }
      return value
    } catch {
      end(index) { $0.failure = (error as? ContainerdError)?.code ?? .unknown }
      throw error
    }
  }

  private func begin(_ part: Part, _ operation: String, _ arguments: [String], _ mounts: [Mount]) -> Int {
    let (moment, call, watch) = state.withLock { state in
      state.moment += 1
      let call = Call(part: part, operation: operation, arguments: arguments, mounts: mounts, begun: state.moment)
      state.calls.append(call)
      return (state.moment, call, state.watch)
    }
    watch?(call, true)
    return moment
  }

  private func end(_ begun: Int, _ change: (inout Call) -> Void) {
    let (call, watch) = state.withLock { state -> (Call?, (@Sendable (Call, Bool) -> Void)?) in
      state.moment += 1
      // A tape that was rewound meanwhile has no such call any more.
      guard let index = state.calls.firstIndex(where: { $0.begun == begun }) else { return (nil, nil) }
      state.calls[index].ended = state.moment
      change(&state.calls[index])
      return (state.calls[index], state.watch)
    }
    if let call { watch?(call, false) }
  }
}

extension Labels {
  /// As text, in order.
  var words: [String] { sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } }
}
