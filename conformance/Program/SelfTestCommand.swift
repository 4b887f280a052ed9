import ArgumentParser
import ConformanceKit

struct SelfTestCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "selftest", abstract: "Shows that the runner reports what passes, fails, hangs, crashes and leaks as what it is.")

  @OptionGroup var running: RunningOptions

  func run() async throws {
    var options = try running.options(target: SelfTest.address)
    // Enough for a process that dies to write its backtrace on a busy machine.
    options.limit = min(options.limit, 8)
    let (results, _) = try await Runner(options).run(SelfTest.expectations.map(\.contract), on: SelfTest.target) { _ in }
    var wrong = 0
    for (expectation, result) in zip(SelfTest.expectations, results) {
      var problems: [String] = []
      if result.outcome != expectation.outcome { problems.append("reported \(result.outcome.rawValue), must be \(expectation.outcome.rawValue)") }
      if !result.detail.contains(expectation.words) { problems.append("its report does not say \"\(expectation.words)\" but \"\(result.detail)\"") }
      if expectation.leak.isEmpty != result.leaks.isEmpty || !(expectation.leak.isEmpty || result.leaks.contains { $0.contains(expectation.leak) }) {
        problems.append(expectation.leak.isEmpty ? "leaks reported: \(result.leaks)" : "the leak \"\(expectation.leak)\" is not in \(result.leaks)")
      }
      wrong += report(result.id, result.outcome.rawValue, result.leaks.first ?? result.detail, problems)
    }
    let runs = try await self.runs(options)
    for run in runs {
      let problems = run.outcomes == run.wanted ? [] : ["must be \(run.wanted.map(\.rawValue).joined(separator: ", "))"]
      wrong += report(run.name, run.outcomes.map(\.rawValue).joined(separator: ", "), "", problems)
    }
    let total = SelfTest.expectations.count + runs.count
    print("\(total - wrong) of \(total) reported as they were")
    if wrong > 0 || results.count != SelfTest.expectations.count { throw ExitCode(1) }
  }

  /// Whole runs: a backend that dies, one that is started again, and a case that cannot make up its mind.
  private func runs(_ options: Runner.Options) async throws -> [(name: String, outcomes: [Outcome], wanted: [Outcome])] {
    guard let pass = SelfTest.cases.first else { return [] }
    var options = options
    options.jobs = 1
    func outcomes(_ cases: [AnyCase], _ options: Runner.Options) async throws -> [Outcome] {
      try await Runner(options).run(cases, on: SelfTest.target) { _ in }.results.map(\.outcome)
    }
    let dead = try await outcomes([SelfTest.gone, pass, pass], options)
    let useless = try await outcomes([SelfTest.useless, pass, pass], options)
    options.restart = "exit 3"
    let lost = try await outcomes([SelfTest.gone, pass], options)
    options.restart = "true"
    let revived = try await outcomes([SelfTest.gone, pass], options)
    options.repeats = 2
    let wavering = try await outcomes([SelfTest.wavering], options)
    return [
      ("a backend that dies", dead, [.crash, .blocked, .blocked]), ("and cannot be restarted", lost, [.crash, .blocked]),
      ("and is restarted", revived, [.crash, .pass]), ("a backend that answers nothing", useless, [.blocked, .blocked, .blocked]),
      ("passes every other time", wavering, [.flaky]),
    ]
  }

  private func report(_ name: String, _ outcome: String, _ detail: String, _ problems: [String]) -> Int {
    print("\(problems.isEmpty ? "ok  " : "BAD ")\(name.padding(34))\(outcome.padding(10))\(detail)")
    for problem in problems { print("      \(problem)") }
    return problems.isEmpty ? 0 : 1
  }
}
