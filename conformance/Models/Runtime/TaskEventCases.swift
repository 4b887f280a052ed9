import ConformanceSuites
import Protocols

/// The order of events, along random ways through a task's life.
public enum TaskEventSuite {
  public static let cases: [ContractCase<FreshSubjects<RuntimeSubject>>] = [
    ContractCase(
      "tasks.model.events", "every end is told once, the execs' before the init's, and a deletion after the end",
      "Runtime law 4, law 5; SH-05, SH-09; REF-R19, REF-R20",
      why: "a client that hears of an end twice, or not at all, restarts what runs or waits for ever"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 120, seconds: 8, shrinks: 120, shrinkSeconds: 20)) { attempt, subject in
        guard let published = subject.published else { throw CaseSkipped(.capability, "the target does not let its events be read") }
        var machine = TaskMachine(subject, id: "a")
        var expected: [Told] = []
        do {
          try await attempt.sequence(atMost: 25) {
            let operation = machine.draw(attempt)
            let before = machine.model
            try await machine.step(operation, attempt)
            expected += events(of: operation, before, machine.model)
          }
          try await compare(expected, published, attempt)
        } catch {
          try await machine.driver.end()
          throw error
        }
        try await machine.driver.end()
      }
    }
  ]

  /// What must be told: the names in any order, and others that may be told beside them.
  private struct Told {
    var names: Set<String>
    var optional: Set<String> = []
  }

  private static func events(of operation: TaskOperation, _ before: TaskModel, _ after: TaskModel) -> [Told] {
    switch operation {
    case .kill(nil) where before.status != nil && before.status != .stopped:
      let execs = (before.processes ?? [:]).filter { !$0.key.isEmpty }
      // Whether an exec that never ran has an end is left open.
      return [
        Told(
          names: Set(execs.filter { $0.value == .running }.map { "exit \($0.key)" }),
          optional: Set(execs.filter { $0.value == .created }.map { "exit \($0.key)" })), Told(names: ["exit a"]),
      ]
    case .kill(let exec?) where before.status(exec) == .running && after.status(exec) == .stopped: return [Told(names: ["exit \(exec)"])]
    case .delete(nil) where before.status != nil && after.status == nil: return [Told(names: ["delete a"])]
    default: return []
    }
  }

  private static func compare(_ expected: [Told], _ published: @Sendable () -> [EventEnvelope], _ attempt: Attempt) async throws {
    func told() -> [String] {
      published().compactMap { envelope in
        switch envelope.event {
        case .taskExit(_, let id, _): "exit \(id)"
        case .taskDelete(let container, let id, _) where container == id: "delete \(id)"
        default: nil
        }
      }
    }
    let count = expected.reduce(0) { $0 + $1.names.count }
    // Events may come a little after the calls that cause them.
    for _ in 0..<50 where told().count < count { try await Task.sleep(for: .milliseconds(20)) }
    var rest = told()[...]
    let all = "\(expected.map { $0.names.sorted().joined(separator: " and ") }.filter { !$0.isEmpty }.joined(separator: ", then "))"
    func wrong() -> Finding { Finding(kind: "events", what: "the events of the task", expected: all.isEmpty ? "none" : all, actual: "\(told())") }
    for group in expected {
      var open = group.names
      while let next = rest.first, open.contains(next) || group.optional.contains(next) {
        open.remove(next)
        rest = rest.dropFirst()
        if open.isEmpty, group.optional.isEmpty { break }
      }
      if !open.isEmpty { throw wrong() }
    }
    if !rest.isEmpty { throw wrong() }
  }
}
