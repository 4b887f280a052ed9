import ConformanceSuites
import Protocols

/// Something that two backends answer differently, and the shortest way found to it.
package struct Difference: Codable, Sendable {
  package struct Step: Codable, Sendable {
    package var operation: String
    package var command: String
    package var a: String
    package var b: String
  }
  /// `snapshots` or `content`.
  package var subject: String
  package var operation: String
  package var a: String
  package var b: String
  package var steps: [Step]
  package var choices: [UInt64]
  package var seed: UInt64
}

/// The same operations on two backends: every pair of answers is compared, times and sources of mounts aside.
package enum Differential {
  package struct Options: Sendable {
    package var sequences = 60
    package var steps = 30
    package var seconds = 20.0
    /// Differences that are looked for, at most.
    package var limit = 10
    /// Kinds of mounts and names of their options count too.
    package var mounts = false
    package init() {}
  }

  package static func snapshots(
    _ a: FreshSubjects<SnapshotSubject>, _ b: FreshSubjects<SnapshotSubject>, _ options: Options
  ) async throws -> [Difference] {
    try await search("snapshots", a.seed, options) { attempt, known in
      let one = try await a.make()
      let other = try await b.make()
      let (left, right) = (SnapshotDriver(one), SnapshotDriver(other))
      let generator = SnapshotGenerator(files: one.trees != nil && other.trees != nil)
      var model = SnapshotModel()
      func pair(_ operation: SnapshotOperation) async throws {
        attempt.does(operation.description, command: operation.command)
        let (first, second) = (try await left.perform(operation), try await right.perform(operation))
        var texts = (first.came.essence, second.came.essence)
        if options.mounts, texts.0 == texts.1 { texts = (texts.0 + shape(first.mounts), texts.1 + shape(second.mounts)) }
        try compare(attempt, operation.verb, operation.description, texts, (first.came.sort, second.came.sort), known)
        _ = model.expects(operation)
      }
      try await attempt.sequence(atMost: options.steps) {
        try await pair(generator.draw(attempt, model))
        try await pair(.walk([]))
      }
    }
  }

  package static func content(
    _ a: FreshSubjects<ContentSubject>, _ b: FreshSubjects<ContentSubject>, _ options: Options
  ) async throws -> [Difference] {
    try await search("content", a.seed, options) { attempt, known in
      let (left, right) = (ContentDriver(try await a.make()), ContentDriver(try await b.make()))
      let generator = ContentGenerator()
      var model = ContentModel()
      var opened = 0
      func pair(_ operation: ContentOperation) async throws {
        attempt.does(operation.description, command: operation.command)
        let (first, second) = (try await left.perform(operation), try await right.perform(operation))
        try compare(attempt, operation.verb, operation.description, (first.essence, second.essence), (first.sort, second.sort), known)
        _ = model.expects(operation)
      }
      let failure: (any Error)?
      do {
        try await attempt.sequence(atMost: options.steps) {
          if model.writers[opened] != nil { opened += 1 }
          try await pair(generator.draw(attempt, model, next: opened))
          try await pair(.walk([]))
          try await pair(.statuses)
        }
        failure = nil
      } catch { failure = error }
      await left.end()
      await right.end()
      if let failure { throw failure }
    }
  }

  /// Looks for differences, one kind after the other.
  private static func search(
    _ subject: String, _ seed: UInt64, _ options: Options, _ body: @escaping @Sendable (Attempt, Set<String>) async throws -> Void
  ) async throws -> [Difference] {
    var known: Set<String> = []
    var found: [Difference] = []
    let deadline = ContinuousClock.now + .seconds(options.seconds)
    while found.count < options.limit, ContinuousClock.now < deadline {
      let property = Property(Property.Bounds(attempts: options.sequences, seconds: options.seconds)) { [known] attempt in
        do { try await body(attempt, known) } catch is Diverged {}
      }
      guard let example = try await property.counterexample(seed: seed) else { break }
      if !known.insert(example.finding.kind).inserted { break }
      found.append(
        Difference(
          subject: subject, operation: example.finding.what, a: example.finding.expected, b: example.finding.actual,
          steps: example.story.map { step in
            let both = step.outcome.split(separator: "\u{1}", omittingEmptySubsequences: false).map(String.init)
            return Difference.Step(operation: step.text, command: step.command, a: both.first ?? "", b: both.last ?? "")
          }, choices: example.choices, seed: example.seed))
    }
    return found
  }

  private static func compare(
    _ attempt: Attempt, _ verb: String, _ what: String, _ texts: (String, String), _ sorts: (String, String), _ known: Set<String>
  ) throws {
    attempt.came("\(texts.0)\u{1}\(texts.1)")
    if texts.0 == texts.1 { return }
    let kind = "\(verb) \(sorts.0) \(sorts.1)"
    // From here on the two are in different states: what comes later says nothing.
    if known.contains(kind) { throw Diverged() }
    throw Finding(kind: kind, what: what, expected: texts.0, actual: texts.1)
  }

  private struct Diverged: Error {}

  private static func shape(_ mounts: [Mount]) -> String {
    mounts.isEmpty
      ? ""
      : " of "
        + mounts.map { mount in
          "\(mount.type)(\(mount.options.map { String($0.split(separator: "=").first ?? "") }.sorted().joined(separator: ",")))"
        }.joined(separator: " + ")
  }
}

extension Came {
  /// What kind of answer: findings that differ only in details are one.
  var sort: String { if case .failure(let code, _) = self { code.rawValue } else { "answer" } }
}
