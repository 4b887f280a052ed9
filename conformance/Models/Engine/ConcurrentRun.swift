import ConformanceSuites
import Protocols
import Synchronization

/// A count that only rises.
private final class Moments: Sendable {
  private let last = Atomic<Int>(0)
  func next() -> Int { last.add(1, ordering: .sequentiallyConsistent).newValue }
}

/// Calls of several clients at once, written down for the search.
package struct ConcurrentRun<Model: SequentialModel>: Sendable {
  package typealias Call = HistoryCall<Model.Operation, Model.Answer>
  /// What each client does, in its order.
  package let scripts: [[Model.Operation]]
  package let perform: @Sendable (Model.Operation) async throws -> Came<Model.Answer>

  package init(_ scripts: [[Model.Operation]], _ perform: @escaping @Sendable (Model.Operation) async throws -> Came<Model.Answer>) {
    self.scripts = scripts
    self.perform = perform
  }

  /// Runs all clients at once, then the closing questions, one after the other.
  package func run(closing: [Model.Operation]) async throws -> [Call] {
    let moments = Moments()
    let calls = Box<[Call]>([])
    try await withThrowingTaskGroup(of: [Call].self) { group in
      for (client, script) in scripts.enumerated() {
        group.addTask { [perform] in
          var made: [Call] = []
          for operation in script {
            let began = moments.next()
            let came = try await perform(operation)
            made.append(
              Call(
                client: client, operation: operation, came: came, began: began,
                ended: moments.next()))
          }
          return made
        }
      }
      for try await made in group { calls.value += made }
    }
    var history = calls.value.sorted { $0.began < $1.began }
    for operation in closing {
      let began = moments.next()
      let came = try await perform(operation)
      history.append(
        Call(
          client: -1, operation: operation, came: came, began: began, ended: moments.next()))
    }
    return history
  }
}

extension ConcurrentRun {
  /// Checks each component of the history. A violation is told as the component's calls with their overlaps.
  package static func judge(
    _ start: PossibleStates<Model>, _ history: [Call], linked: [[String]], keys: @escaping (Model.Operation) -> [String], _ attempt: Attempt
  ) throws {
    for part in Linearizability.components(history, linked: linked, keys: { keys($0.operation) }) {
      guard case .impossible(let explained) = Linearizability.check(start.all, part) else { continue }
      let rest = part.indices.filter { !explained.contains($0) }
      for call in part {
        attempt.does("\(call.client < 0 ? "afterwards" : "client \(call.client + 1)") (\(call.began)–\(call.ended)): \(call.operation)")
        attempt.came("\(call.came)")
      }
      var states = start
      for index in explained { _ = states.follow(part[index].operation, part[index].came) }
      let stuck = rest.first.map { part[$0] }
      throw Finding(
        kind: "linearizable", what: "calls at the same time",
        expected: "answers that some order of the calls explains",
        actual: "none does: at best \(explained.count) of \(part.count) calls can be put in an order, and then "
          + (stuck.map { "\"\($0.operation)\" must give \(states.expectation(of: $0.operation)), but gave \($0.came)" } ?? "nothing is left"))
    }
  }
}
