import Protocols

/// What a backend must do, as a pure state machine: the reference that backends are compared with.
package protocol SequentialModel: Hashable, Sendable {
  associatedtype Operation: Sendable, CustomStringConvertible
  associatedtype Answer: Hashable, Sendable, CustomStringConvertible

  /// Does the operation, and says what a backend may answer.
  mutating func expects(_ operation: Operation) -> Expectation<Answer>
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
