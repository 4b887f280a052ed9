import ConformanceKit
import ConformanceReports
import ConformanceSuites

/// A result as a text of its own.
enum Reproduction {
  /// What was done, as comments: nothing in it acts. Whoever runs it is told why, and gets 3.
  static func list(of result: CaseResult, target: String, reason: String) -> String {
    let again = again(result, target)
    var lines = ["#!/usr/bin/env bash"] + head(of: result, target: target)
    lines += ["#", "# No script with public tools decides this case: \(reason).", "# This runs the one case again:", "#   \(again)", "#"]
    lines += story(of: result)
    lines += ["echo \(shellQuoted("\(result.id): no script with public tools decides it: \(reason). Run instead: \(again)")) >&2", "exit 3"]
    return lines.joined(separator: "\n") + "\n"
  }

  static func again(_ result: CaseResult, _ target: String) -> String {
    "containerd-conformance run \(shellQuoted(target)) --select \(result.id) --seed \(result.seed)"
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
    return lines + found(in: result)
  }

  static func found(in result: CaseResult) -> [String] {
    var lines: [String] = []
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
