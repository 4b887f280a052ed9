import Synchronization

/// Runs the body over the items, at most so many at once; values in the items' order. The first error ends what has not begun.
func parallel<Item: Sendable, Value: Sendable>(
  _ items: [Item], jobs: Int, _ body: @escaping @Sendable (Int, Item) async throws -> Value
) async throws -> [Value] {
  try await withThrowingTaskGroup(of: (Int, Value).self) { group in
    var values: [Int: Value] = [:]
    var next = 0
    for (index, item) in items.enumerated() {
      if next - values.count >= max(1, jobs), let (done, value) = try await group.next() { values[done] = value }
      group.addTask { (index, try await body(index, item)) }
      next += 1
    }
    for try await (index, value) in group { values[index] = value }
    return items.indices.compactMap { values[$0] }
  }
}

/// Counts from any task.
final class Counter: Sendable {
  private let count = Mutex(0)
  var value: Int { count.withLock { $0 } }
  func next() -> Int {
    count.withLock {
      $0 += 1
      return $0
    }
  }
}
