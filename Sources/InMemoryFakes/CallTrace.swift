import Synchronization

/// What was called, in order, by everybody who shares this trace.
///
///     let trace = CallTrace()
///     … pull with fakes that were given the trace …
///     #expect(trace.calls(of: "snapshots").isEmpty)
public final class CallTrace: Sendable {
  public struct Call: Hashable, Sendable, CustomStringConvertible {
    /// `content`, `snapshots`, `applier`, `differ`, `registry`, `runtime`, `metadata`, `events`, or what the fake was told to be called.
    public var component: String
    public var operation: String
    public var arguments: [String]
    /// `content.commit(layer-1, sha256:…)`
    public var description: String { "\(component).\(operation)(\(arguments.joined(separator: ", ")))" }
    /// `content.commit`
    public var name: String { "\(component).\(operation)" }
  }

  private let recorded = Mutex<[Call]>([])

  public init() {}

  public var calls: [Call] { recorded.withLock { $0 } }
  public var names: [String] { calls.map(\.name) }
  public func calls(of component: String) -> [Call] { calls.filter { $0.component == component } }
  public func count(_ name: String) -> Int { calls.count { $0.name == name } }
  public func clear() { recorded.withLock { $0 = [] } }

  /// Calls are recorded when they begin, faults and failures included.
  public func record(component: String, operation: String, arguments: [String]) {
    recorded.withLock { $0.append(Call(component: component, operation: operation, arguments: arguments)) }
  }
}
