import ArgumentParser
import ConformanceKit
import ConformanceReports
import ConformanceSuites
import ConformanceTargets

struct ReproCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "repro", abstract: "Runs one case and prints a script that decides it with public tools.",
    discussion: "Where no such script is possible, prints what was done and why, and ends with 3.")

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
    print(Reproduction.list(of: result, target: profile.target, reason: "its steps are not made into a script yet"), terminator: "")
    throw ExitCode(3)
  }
}

/// A result as a text of its own.
enum Reproduction {
  /// What was done, as comments: nothing in it acts. Whoever runs it is told why, and gets 3.
  static func list(of result: CaseResult, target: String, reason: String) -> String {
    let again = "containerd-conformance run \(shellQuoted(target)) --select \(result.id) --seed \(result.seed)"
    var lines = ["#!/usr/bin/env bash"] + head(of: result, target: target)
    lines += ["#", "# No script with public tools decides this case: \(reason).", "# This runs the one case again:", "#   \(again)", "#"]
    lines += story(of: result)
    lines += ["echo \(shellQuoted("\(result.id): no script with public tools decides it: \(reason). Run instead: \(again)")) >&2", "exit 3"]
    return lines.joined(separator: "\n") + "\n"
  }

  /// What the script is about.
  static func head(of result: CaseResult, target: String) -> [String] {
    comment("\(result.id) (\(result.info.level.rawValue)) on \(target)") + comment("must hold: \(result.info.sentence)")
      + comment("written in: \(result.info.source)") + comment("outcome when this was written: \(result.outcome.rawValue); seed \(result.seed)")
  }

  /// What was done and what came of it.
  static func story(of result: CaseResult) -> [String] {
    var lines = result.steps.isEmpty ? ["# The case records no steps."] : ["# What was done, and what came of it:"]
    for (number, step) in result.steps.enumerated() {
      lines += comment("\(number + 1). \(step.text)\(step.outcome.isEmpty ? "" : " → \(step.outcome)")", deeper: "   ")
      if !step.command.isEmpty { lines += comment("   \(step.command)", deeper: "   ") }
    }
    for (word, text) in [("expected", result.expected), ("actual", result.actual), ("detail", Optional(result.detail))] {
      if let text, !text.isEmpty { lines += comment("\(word): \(text)", deeper: "  ") }
    }
    return lines
  }

  /// Every line of the text as a comment: none of what a backend said may act.
  static func comment(_ text: String, deeper: String = "") -> [String] {
    text.split(omittingEmptySubsequences: false) { $0.isNewline }.enumerated().map { "# " + ($0 == 0 ? "" : deeper) + $1 }
  }
}
