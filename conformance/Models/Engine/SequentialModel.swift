import Protocols

/// What a backend must do, as a pure state machine: the reference that backends are compared with.
package protocol SequentialModel: Hashable, Sendable {
  associatedtype Operation: Sendable, CustomStringConvertible
  associatedtype Answer: Hashable, Sendable, CustomStringConvertible

  /// Does the operation, and says what a backend may answer.
  mutating func expects(_ operation: Operation) -> Expectation<Answer>

  /// Every way in which the contract lets the operation end: what is answered, and the state that it leads to. One, unless the model says otherwise.
  func outcomes(of operation: Operation) -> [Outcome<Self>]
}

package struct Outcome<Model: SequentialModel>: Hashable, Sendable {
  package var expected: Expectation<Model.Answer>
  package var next: Model
  package init(_ expected: Expectation<Model.Answer>, _ next: Model) {
    self.expected = expected
    self.next = next
  }
}

extension SequentialModel {
  package func outcomes(of operation: Operation) -> [Outcome<Self>] {
    var next = self
    return [Outcome(next.expects(operation), next)]
  }
}

/// The states in which a backend may be, after everything that it answered: several where the contract leaves open what happened.
package struct PossibleStates<Model: SequentialModel>: Sendable {
  /// Never empty. The first is the one that a contract without choices would have.
  package private(set) var all: [Model]
  package init(_ start: Model) { all = [start] }
  /// - Parameter states: not empty, the likely one first.
  package init(anyOf states: [Model]) { all = states }
  package var likely: Model { all[0] }

  /// Keeps the states that explain the answer. Returns what was expected if none does, and changes nothing.
  package mutating func follow(_ operation: Model.Operation, _ came: Came<Model.Answer>) -> String? {
    let outcomes = all.flatMap { $0.outcomes(of: operation) }
    var next: [Model] = []
    for outcome in outcomes where outcome.expected.allows(came) && !next.contains(outcome.next) { next.append(outcome.next) }
    if next.isEmpty { return Self.described(outcomes) }
    all = next
    return nil
  }

  package func expectation(of operation: Model.Operation) -> String { Self.described(all.flatMap { $0.outcomes(of: operation) }) }

  private static func described(_ outcomes: [Outcome<Model>]) -> String {
    var texts: [String] = []
    for outcome in outcomes where !texts.contains("\(outcome.expected)") { texts.append("\(outcome.expected)") }
    return texts.joined(separator: ", or ")
  }
}

package enum Expectation<Answer: Hashable & Sendable & CustomStringConvertible>: Hashable, Sendable, CustomStringConvertible {
  case answer(Answer)
  /// Refused, with one of the classes; nothing is changed.
  case failure(Set<ContainerdError.Code>)

  package var description: String {
    switch self {
    case .answer(let answer): "\(answer)"
    case .failure(let codes): "the error class " + codes.map { "\"\($0.rawValue)\"" }.sorted().joined(separator: " or ")
    }
  }

  package func allows(_ came: Came<Answer>) -> Bool {
    switch (self, came) {
    case (.answer(let expected), .answer(let actual)): expected == actual
    case (.failure(let codes), .failure(let code, _)): codes.contains(code)
    default: false
    }
  }
}

/// What a backend did answer.
package enum Came<Answer: Hashable & Sendable & CustomStringConvertible>: Hashable, Sendable, CustomStringConvertible {
  case answer(Answer)
  case failure(ContainerdError.Code, String)

  /// Runs the body; its errors of the contract are answers too.
  package init(_ body: () async throws -> Answer) async throws {
    do { self = .answer(try await body()) } catch let error as ContainerdError { self = .failure(error.code, "\(error)") }
  }

  package var description: String {
    switch self {
    case .answer(let answer): "\(answer)"
    case .failure(let code, let text): text.hasSuffix(code.rawValue) ? text : "\(text): \(code.rawValue)"
    }
  }

  /// What two backends that do the same have in common: the class, not the words.
  package var essence: String {
    switch self {
    case .answer(let answer): "\(answer)"
    case .failure(let code, _): "the error class \"\(code.rawValue)\""
    }
  }
}

/// Labels, in one order.
package func described(_ labels: Labels) -> String {
  "{" + labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", ") + "}"
}
