import Synchronization

/// Gathers what a visitor sees, or keeps what a faulty backend remembers.
final class Gathered<Item: Sendable>: Sendable {
  private let kept = Mutex<[Item]>([])
  var items: [Item] { kept.withLock { $0 } }
  func append(_ item: Item) { kept.withLock { $0.append(item) } }
  func removeAll() { kept.withLock { $0 = [] } }
}

/// A value that a faulty backend keeps beside its base.
final class Kept<Value: Sendable>: Sendable {
  private let value: Mutex<Value>
  init(_ value: Value) { self.value = Mutex(value) }
  func with<Result: Sendable>(_ body: (inout sending Value) -> sending Result) -> Result { value.withLock(body) }
  var now: Value { value.withLock { $0 } }
  func set(_ new: Value) { value.withLock { $0 = new } }
}
