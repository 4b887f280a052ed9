import ArgumentParser
import ConformanceKit

struct SelfTestCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "selftest", abstract: "Shows that the runner reports what passes, fails, hangs, crashes and leaks as what it is.")

  @OptionGroup var running: RunningOptions

  func run() async throws {
    var options = try running.options(target: SelfTest.address)
    options.limit = min(options.limit, 3)
    let (results, _) = try await Runner(options).run(SelfTest.cases, on: SelfTest.target) { _ in }
    var wrong = 0
    for (expectation, result) in zip(SelfTest.expectations, results) {
      var problems: [String] = []
      if result.outcome != expectation.outcome { problems.append("reported \(result.outcome.rawValue), must be \(expectation.outcome.rawValue)") }
      if !result.detail.contains(expectation.words) { problems.append("its report does not say \"\(expectation.words)\" but \"\(result.detail)\"") }
      if expectation.leak.isEmpty != result.leaks.isEmpty || !(expectation.leak.isEmpty || result.leaks.contains { $0.contains(expectation.leak) }) {
        problems.append(expectation.leak.isEmpty ? "leaks reported: \(result.leaks)" : "the leak \"\(expectation.leak)\" is not in \(result.leaks)")
      }
      print("\(problems.isEmpty ? "ok  " : "BAD ")\(result.id.padding(34))\(result.outcome.rawValue.padding(10))\(result.leaks.first ?? result.detail)")
      for problem in problems { print("      \(problem)") }
      wrong += problems.isEmpty ? 0 : 1
    }
    print("\(results.count - wrong) of \(SelfTest.expectations.count) outcomes reported as they were")
    if wrong > 0 || results.count != SelfTest.expectations.count { throw ExitCode(1) }
  }
}
