import Synchronization

/// What a fault remembers between calls: made anew for every subject.
final class Memory<Value: Sendable>: Sendable {
  private let held: Mutex<Value>
  init(_ value: Value) { held = Mutex(value) }
  func with<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
    held.withLock { value in
      var copy = value
      let result = body(&copy)
      value = copy
      return result
    }
  }
  var value: Value { with { $0 } }
}
