import ConformanceSuites
import Protocols

/// Something that must hold in every attempt.
package struct Property {
  /// How many attempts, how long, and how hard to search for the shortest.
  package struct Bounds: Sendable {
    package var attempts: Int
    package var seconds: Double
    package var shrinks: Int
    package var shrinkSeconds: Double
    /// How often an attempt is repeated before it counts as passed: for what depends on who is first.
    package var repeats: Int
    package init(attempts: Int = 60, seconds: Double = 10, shrinks: Int = 600, shrinkSeconds: Double = 15, repeats: Int = 1) {
      self.attempts = attempts
      self.seconds = seconds
      self.shrinks = shrinks
      self.shrinkSeconds = shrinkSeconds
      self.repeats = repeats
    }
    package func scaled(by budget: Double) -> Bounds {
      Bounds(
        attempts: max(1, Int(Double(attempts) * budget)), seconds: seconds * budget, shrinks: shrinks, shrinkSeconds: shrinkSeconds, repeats: repeats)
    }
  }

  package let bounds: Bounds
  /// Throws a `Finding` if the property does not hold.
  package let body: @Sendable (Attempt) async throws -> Void

  package init(_ bounds: Bounds = Bounds(), _ body: @escaping @Sendable (Attempt) async throws -> Void) {
    self.bounds = bounds
    self.body = body
  }

  /// Looks for an attempt in which it does not hold, and for the simplest such.
  /// - Parameter replaying: these choices only, where there are any.
  package func counterexample(seed: UInt64, replaying choices: [UInt64] = []) async throws -> Counterexample? {
    if !choices.isEmpty {
      guard let failure = try await run({ Attempt(replaying: choices) }) else { return nil }
      return Counterexample(
        finding: failure.finding, story: failure.story, choices: failure.choices, seed: seed, firstSteps: failure.story.count, attempts: 1)
    }
    let deadline = ContinuousClock.now + .seconds(bounds.seconds)
    var seeds = Chance(seed)
    for number in 1...bounds.attempts {
      let seed = seeds.next()
      if let failure = try await run({ Attempt(seed: seed) }) {
        var shrinker = Shrinker(failure, attempts: bounds.shrinks, deadline: ContinuousClock.now + .seconds(bounds.shrinkSeconds)) { choices in
          try await run { Attempt(replaying: choices) }
        }
        // What hangs would hang again with every try.
        if failure.finding.kind != Finding.hanging { try await shrinker.shrink() }
        let best = shrinker.best
        return Counterexample(
          finding: best.finding, story: best.story, choices: best.choices, seed: seed, firstSteps: failure.story.count, attempts: number)
      }
      if ContinuousClock.now > deadline { break }
    }
    return nil
  }

  private func run(_ make: () -> Attempt) async throws -> Shrinker.Failure? {
    for _ in 0..<bounds.repeats {
      let attempt = make()
      do { try await body(attempt) } catch let finding as Finding {
        return Shrinker.Failure(choices: attempt.choices, spans: attempt.spans, finding: finding, story: attempt.story)
      } catch let mismatch as Mismatch {
        let finding = Finding(kind: "check", what: mismatch.description, expected: mismatch.expected ?? "", actual: mismatch.actual ?? "")
        return Shrinker.Failure(choices: attempt.choices, spans: attempt.spans, finding: finding, story: attempt.story)
      } catch let error as ContainerdError {
        let finding = Finding(
          kind: "unexpected \(error.code.rawValue)", what: "a step that must succeed", expected: "success", actual: "\(error)")
        return Shrinker.Failure(choices: attempt.choices, spans: attempt.spans, finding: finding, story: attempt.story)
      }
    }
    return nil
  }
}

extension FreshSubjects {
  /// The body of a case: the property must hold for fresh subjects, or the shortest way to its failure is told.
  package func hold(_ bounds: Property.Bounds = Property.Bounds(), _ body: @escaping @Sendable (Attempt, Subject) async throws -> Void) async throws {
    let property = Property(bounds.scaled(by: budget)) { attempt in try await body(attempt, try await make()) }
    guard let found = try await property.counterexample(seed: seed, replaying: choices) else { return }
    for step in found.story { note(step.text, step.command, step.outcome) }
    throw Mismatch(description: found.description, expected: "\(found.finding.what): \(found.finding.expected)", actual: found.finding.actual)
  }
}
