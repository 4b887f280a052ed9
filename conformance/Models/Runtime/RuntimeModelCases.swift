import ConformanceSuites
import Protocols

/// Every short way through the life of a task, and random long ones.
public enum RuntimeModelSuite {
  public static let cases: [ContractCase<FreshSubjects<RuntimeSubject>>] = [
    ContractCase(
      "runtime.model.exhaustive", "on every short way through a task's life, each call is answered as the state allows",
      "Runtime, states; RT-L01, RT-L02, RT-L03, RT-L05; SH-04, SH-07, SH-08",
      why: "a client that retries, or two clients of one container, take every way there is"
    ) { fresh in try await exhaustive(fresh) },
    ContractCase(
      "runtime.model.random", "whatever the order of calls, with execs, a task answers as its contract says",
      "ContainerTask; SH-04, SH-07, SH-08; REF-R04, REF-R05, REF-R06, REF-R09, REF-R11",
      why: "probes exec into containers all the time, also while they are paused, killed and deleted"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 150, seconds: 8, shrinks: 120, shrinkSeconds: 25)) { attempt, subject in
        var machine = TaskMachine(subject, id: "a")
        do {
          try await attempt.sequence(atMost: 25) { try await machine.step(machine.draw(attempt), attempt) }
        } catch {
          try await machine.driver.end()
          throw error
        }
        try await machine.driver.end()
      }
    },
  ]

  private static let verbs: [TaskOperation] = [.create, .start(nil), .kill(nil), .delete(nil), .pause, .resume]

  /// All ways of length 1, then 2, … as deep as the time allows and at most 5: the first that fails is a shortest one.
  private static func exhaustive(_ fresh: FreshSubjects<RuntimeSubject>) async throws {
    let began = ContinuousClock.now
    let subject = try await fresh.make()
    var ways: [[TaskOperation]] = [[]]
    for depth in 1...5 {
      ways = ways.flatMap { way in verbs.map { way + [$0] } }
      let start = ContinuousClock.now
      for (number, way) in ways.enumerated() {
        let attempt = Attempt(replaying: [])
        var machine = TaskMachine(subject, id: "t\(depth)-\(number)")
        do {
          try await machine.step(.create, attempt)
          for operation in way { try await machine.step(operation, attempt) }
        } catch let finding as Finding {
          try await machine.driver.end()
          for step in attempt.story { fresh.note(step.text, step.command, step.outcome) }
          let lines = attempt.story.enumerated().map { "  \($0 + 1). \($1.text) → \($1.outcome)" }
          throw Mismatch(
            description: "\(finding)\nafter the shortest way there is:\n\(lines.joined(separator: "\n"))", expected: "\(finding.what): \(finding.expected)",
            actual: finding.actual)
        }
        try await machine.driver.end()
        if depth > 1, ContinuousClock.now - began > .seconds(20 * fresh.budget) { return }
      }
      fresh.note("all \(ways.count) ways of \(depth) calls after the creation", "", "as the contract says")
      // The next depth takes six times as long, and a little more.
      if (ContinuousClock.now - start) * 7 > .seconds(15 * fresh.budget) { return }
    }
  }
}
