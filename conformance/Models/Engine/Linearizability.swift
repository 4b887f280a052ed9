/// One call of a history: who made it, when it began and ended, and what came.
package struct HistoryCall<Operation: Sendable, Answer: Hashable & Sendable & CustomStringConvertible>: Sendable {
  package var client: Int
  package var operation: Operation
  package var came: Came<Answer>
  /// Moments, counted: no two are the same.
  package var began: Int
  package var ended: Int
  package init(client: Int, operation: Operation, came: Came<Answer>, began: Int, ended: Int) {
    self.client = client
    self.operation = operation
    self.came = came
    self.began = began
    self.ended = ended
  }
}

/// Whether calls that overlapped answered as if each had happened at one moment between its begin and its end.
///
/// The search of Wing and Gong, with what Lowe added: a set of calls done and the state they led to is never looked at twice.
package enum Linearizability {
  package enum Verdict: Sendable, Equatable {
    case linearizable
    /// No order explains the answers. `explained` is the longest order that explains some: their places in the history.
    case impossible(explained: [Int])
    /// Given up after so many states.
    case undecided
  }

  /// - Parameter starts: the states in which the backend may have been before.
  package static func check<Model: SequentialModel>(
    _ starts: [Model], _ history: [HistoryCall<Model.Operation, Model.Answer>], states limit: Int = 200_000
  ) -> Verdict {
    var seen: Set<Place<Model>> = []
    var longest: [Int] = []
    var undecided = false

    func search(_ model: Model, _ done: Set<Int>, _ order: [Int]) -> Bool {
      if order.count > longest.count { longest = order }
      if done.count == history.count { return true }
      if seen.count >= limit {
        undecided = true
        return false
      }
      if !seen.insert(Place(done: done, model: model)).inserted { return false }
      let open = history.indices.filter { !done.contains($0) }
      // What began after another had ended cannot come before it.
      guard let firstEnd = open.map({ history[$0].ended }).min() else { return true }
      for index in open where history[index].began < firstEnd {
        for outcome in model.outcomes(of: history[index].operation) where outcome.expected.allows(history[index].came) {
          if search(outcome.next, done.union([index]), order + [index]) { return true }
        }
      }
      return false
    }

    if starts.contains(where: { search($0, [], []) }) { return .linearizable }
    return undecided ? .undecided : .impossible(explained: longest)
  }

  package static func check<Model: SequentialModel>(_ start: Model, _ history: [HistoryCall<Model.Operation, Model.Answer>]) -> Verdict {
    check([start], history)
  }

  private struct Place<Model: SequentialModel>: Hashable {
    var done: Set<Int>
    var model: Model
  }

  /// Parts of a history that cannot tell of each other: calls that share no key, directly or through others, nor are linked beforehand.
  package static func components<Call>(_ calls: [Call], linked: [[String]], keys: (Call) -> [String]) -> [[Call]] {
    var root: [String: String] = [:]
    func find(_ key: String) -> String {
      var key = key
      while let above = root[key], above != key { key = above }
      return key
    }
    for group in linked + calls.map(keys) {
      guard let first = group.first else { continue }
      for key in group { root[find(key)] = find(first) }
    }
    var parts: [String: [Call]] = [:]
    for call in calls { parts[keys(call).first.map(find) ?? "", default: []].append(call) }
    return parts.sorted { $0.key < $1.key }.map(\.value)
  }
}
