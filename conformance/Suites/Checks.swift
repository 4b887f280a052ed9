import Protocols
import Synchronization

// What bodies of cases are written with. Each check says what it is about, what was expected and what came.

package func expectEqual<Value: Equatable>(_ actual: Value, _ expected: Value, _ what: String) throws {
  if actual != expected {
    let (expected, actual) = (words(expected), words(actual))
    throw Mismatch(description: "\(what): expected \(expected), got \(actual)", expected: "\(what): \(expected)", actual: actual)
  }
}

package func expect(_ holds: Bool, _ what: @autoclosure () -> String) throws {
  if !holds { throw Mismatch(description: what()) }
}

/// The body must throw a `ContainerdError` of one of the classes.
package func expectError(_ codes: ContainerdError.Code..., from what: String, _ body: () async throws -> Void) async throws {
  let wanted = codes.map { "\"\($0.rawValue)\"" }.joined(separator: " or ")
  do { try await body() } catch let error as ContainerdError {
    if codes.contains(error.code) { return }
    throw Mismatch(
      description: "\(what): expected the class \(wanted), got \"\(error.code.rawValue)\" (\(error))", expected: "\(what): the error class \(wanted)",
      actual: "\(error)")
  } catch let broken as SuiteError {
    throw broken
  } catch { throw Mismatch(description: "\(what): expected a ContainerdError of the class \(wanted), got \(type(of: error)): \(error)") }
  throw Mismatch(
    description: "\(what): expected the class \(wanted), but it succeeded", expected: "\(what): the error class \(wanted)", actual: "success")
}

/// The body must throw a `ContainerdError`, of whatever class.
package func expectRefusal(of what: String, _ body: () async throws -> Void) async throws {
  do { try await body() } catch is ContainerdError { return }
  throw Mismatch(description: "\(what): expected an error, but it succeeded", expected: "\(what): an error", actual: "success")
}

/// The message of the `ContainerdError` that the body must throw.
package func messageOfError(from what: String, _ body: () async throws -> Void) async throws -> String {
  do { try await body() } catch let error as ContainerdError { return error.message }
  throw Mismatch(description: "\(what): expected an error, but it succeeded")
}

/// Runs the body `count` times at once; what each came to, in no order. Anything but success or a `ContainerdError` is thrown on.
package func concurrently<Value: Sendable>(
  _ count: Int, _ body: @escaping @Sendable (Int) async throws -> Value
) async throws -> [Result<Value, ContainerdError>] {
  try await withThrowingTaskGroup(of: Result<Value, ContainerdError>.self) { group in
    for number in 0..<count {
      group.addTask { do { return .success(try await body(number)) } catch let error as ContainerdError { return .failure(error) } }
    }
    var results: [Result<Value, ContainerdError>] = []
    for try await result in group { results.append(result) }
    return results
  }
}

/// Exactly one succeeded, and every other failed with the class.
package func expectOneWinner<Value>(_ results: [Result<Value, ContainerdError>], others: ContainerdError.Code..., what: String) throws {
  let winners = results.count { if case .success = $0 { true } else { false } }
  try expectEqual(winners, 1, "\(what): how many of \(results.count) succeeded")
  for case .failure(let error) in results where !others.contains(error.code) {
    throw Mismatch(description: "\(what): a loser must get \(others.map(\.rawValue)), got \(error)")
  }
}

/// Waits until the body gives a value, at most so long.
@discardableResult package func eventually<Value>(_ what: String, within seconds: Int = 10, _ body: () async throws -> Value?) async throws -> Value {
  for _ in 0..<(seconds * 100) {
    if let value = try await body() { return value }
    try await Task.sleep(for: .milliseconds(10))
  }
  throw Mismatch(description: "\(what): did not happen within \(seconds) s")
}

/// The body must come to an end in time: what hangs, even deaf to its cancellation, is a finding and not a hanging test.
package func inTime<Value: Sendable>(_ what: String, seconds: Int = 20, _ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
  let (answers, answer) = AsyncStream.makeStream(of: Result<Value, any Error>.self)
  let work = Task { do { answer.yield(.success(try await body())) } catch { answer.yield(.failure(error)) } }
  let clock = Task {
    try await Task.sleep(for: .seconds(seconds))
    answer.finish()
  }
  defer {
    clock.cancel()
    work.cancel()
  }
  for await result in answers { return try result.get() }
  throw Mismatch(description: "\(what): no answer within \(seconds) s")
}

/// Gathers what a visitor sees.
package final class Visited<Item: Sendable>: Sendable {
  private let seen = Mutex<[Item]>([])
  package init() {}
  package var items: [Item] { seen.withLock { $0 } }
  package func append(_ item: Item) { seen.withLock { $0.append(item) } }
}

package func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// Bytes that no two numbers share: `count` of them.
package func pattern(_ number: Int, count: Int) -> [UInt8] {
  var state = UInt64(truncatingIfNeeded: number) &* 0x9e37_79b9_7f4a_7c15 &+ 1
  return (0..<count).map { _ in
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return UInt8(truncatingIfNeeded: state >> 24)
  }
}

/// Texts that must pass as keys and refs unchanged: they are names, not paths.
package let oddNames = [
  "with space", "a/b/c", "/absolute", "../../outside", ".", "..", "-dash", "grüße-世界-🚢", "tab\there", "line\nbreak", "quote\"and'", "per%cent", "a:b,c=d\\e",
  "sha256:0000", String(repeating: "long", count: 128),
]
