/// What an attempt found: the backend did what the model does not allow.
package struct Finding: Error, Sendable, CustomStringConvertible {
  /// Findings of the same kind are the same defect, as far as one can tell: what the search for the shortest sequence keeps.
  package var kind: String
  /// The kind of what does not come to an end.
  package static let hanging = "hangs"
  package var what: String
  package var expected: String
  package var actual: String
  package init(kind: String, what: String, expected: String, actual: String) {
    self.kind = kind
    self.what = what
    self.expected = expected
    self.actual = actual
  }
  package var description: String { "\(what): expected \(expected), got \(actual)" }
}

/// A finding, the shortest way to it, and how to go there again.
package struct Counterexample: Sendable {
  package var finding: Finding
  package var story: [Attempt.Step]
  package var choices: [UInt64]
  /// The seed of the attempt that found it.
  package var seed: UInt64
  /// How many steps it had then.
  package var firstSteps: Int
  package var attempts: Int

  /// The operations in words, numbered.
  package var lines: [String] {
    story.enumerated().map { "\($0 + 1). \($1.text)\($1.outcome.isEmpty ? "" : " → \($1.outcome)")" }
  }

  package var description: String {
    let kept = story.count == firstSteps ? "\(story.count) steps" : "\(story.count) steps, the fewest found of \(firstSteps)"
    return """
      \(finding.description)
      after \(kept):
      \(lines.map { "  " + $0 }.joined(separator: "\n"))
      seed \(seed); replay with --choices \(choices.map(String.init).joined(separator: ","))
      """
  }
}
