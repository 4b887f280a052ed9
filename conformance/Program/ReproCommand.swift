import ArgumentParser
import ConformanceKit
import ConformanceSuites
import ConformanceTargets

struct ReproCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "repro", abstract: "Runs one case and prints a script that does the same with public tools.",
    discussion: "Steps that no public tool can take stand in the script as comments; the last lines say what to look for.")

  @Argument(help: "The id of the case.") var id: String
  @Argument(help: "The address.") var target: String
  @OptionGroup var running: RunningOptions

  func run() async throws {
    guard let contract = Catalogue.cases.first(where: { $0.id == id }) else { throw ValidationError("no case is called \(id); see `list`") }
    let profile = try Profile(addressOrFile: target)
    let opened = try profile.open()
    if !contract.concerns(opened) { throw ValidationError("\(target) has nothing that \(id) judges (\(contract.info.subject))") }
    var options = try running.options(target: profile.target)
    options.jobs = 1
    let (results, _) = try await Runner(options).run([contract], on: opened) { _ in }
    guard let result = results.first else { throw SuiteError("\(id) gave no result") }
    print(Reproduction.script(of: result, target: profile.target), terminator: "")
  }
}

/// A result as a script of its own.
enum Reproduction {
  static func script(of result: CaseResult, target: String) -> String {
    let info = result.info
    var lines = [
      "#!/bin/sh", "# \(info.id) (\(info.level.rawValue)) on \(target)", "# must hold: \(info.sentence)", "# written in: \(info.source)",
      "# outcome: \(result.outcome.rawValue); seed \(result.seed)", "#",
      "# The case itself, again:", "#   containerd-conformance run '\(target)' --select \(info.id) --seed \(result.seed)", "set -x",
    ]
    for (number, step) in result.steps.enumerated() {
      lines.append(
        "# \(number + 1). \(step.text.replacingOccurrences("\n", "\n#    "))"
          + (step.outcome.isEmpty ? "" : "  → \(step.outcome.replacingOccurrences("\n", "\n#    "))"))
      if !step.command.isEmpty { lines.append(step.command) }
    }
    if result.steps.isEmpty { lines.append("# The case records no steps: it works on values inside its process.") }
    for (word, text) in [("expected", result.expected), ("actual", result.actual), ("detail", Optional(result.detail))] {
      if let text, !text.isEmpty { lines.append("# \(word): \(text.replacingOccurrences("\n", "\n#    "))") }
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

extension String {
  func replacingOccurrences(_ text: String, _ other: String) -> String { split(separator: text, omittingEmptySubsequences: false).joined(separator: other) }
}
