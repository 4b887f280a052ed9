import ConformanceKit
import ConformanceSuites

/// A summary for a comment on a change: verdict, figures, a line per chapter, and each finding folded.
enum MarkdownReport {
  static func render(_ report: RunReport, _ context: ReportContext) -> String {
    let verdict = Verdict(report)
    var lines = ["## \(cell(report.name)): \(verdict.word.rawValue)", ""]
    lines += verdict.reasons.map { "- \(cell($0))" }
    if !verdict.reasons.isEmpty { lines.append("") }
    lines += figures(report, context) + chapters(report)
    lines += report.findings.isEmpty ? [] : ["### Findings", ""] + report.findings.flatMap { finding($0, report) }
    lines += wavering(report) + skips(report) + others(report, context)
    lines += [
      "<sub>\(cell(report.target)) · suite \(cell(report.suiteVersion)) · seed \(report.seed) · \(cell(report.started)) · \(duration(report.seconds)) · "
        + "\(cell(report.environment.distribution)), Linux \(cell(report.environment.kernel))</sub>"
    ]
    return lines.joined(separator: "\n") + "\n"
  }

  private static func figures(_ report: RunReport, _ context: ReportContext) -> [String] {
    let passed = report.count(.pass)
    let concerned = Statement.all.count { $0.exempt == nil }
    var lines = ["| | |", "|---|---|", "| cases passed of those run | **\(passed) of \(report.executed)** |"]
    lines.append("| statements checked in this run | **\(report.checkedStatements.count) of \(concerned)** |")
    if let proof = context.proof {
      lines.append("| faults the suite finds of those put in | **\(proof.mutantsKilled) of \(proof.mutants)** |")
      lines.append("| false alarms on known-good backends | **\(proof.falseAlarms)** |")
    }
    return lines + [""]
  }

  private static func chapters(_ report: RunReport) -> [String] {
    var lines = ["| chapter | cases | passed | red | known | skipped |", "|---|--:|--:|--:|--:|--:|"]
    for (group, results) in report.chapters {
      let red = results.count(where: \.isRed)
      let known = results.count { $0.outcome == .expectedFailure }
      let skipped = results.count { $0.outcome == .skip }
      let passed = results.count - red - known - skipped
      lines.append("| \(group.title) | \(results.count) | \(passed) | \(red == 0 ? "0" : "**\(red)**") | \(known) | \(skipped) |")
    }
    return lines + [""]
  }

  private static func finding(_ result: CaseResult, _ report: RunReport) -> [String] {
    let head = "<code>\(markup(result.id))</code> (\(result.info.level.rawValue), \(result.outcome.title))"
    var lines = ["<details><summary>\(head): \(markup(result.headline))</summary>", ""]
    func add(_ term: String, _ text: String) { if !text.isEmpty { lines += ["**\(term)**", "", fenced(text), ""] } }
    lines += ["\(cell(result.info.sentence)). _\(cell(result.info.source))_", ""]
    if let expected = result.expected, let actual = result.actual {
      add("Expected", expected)
      add("Actual", actual)
    } else {
      add("What happened", result.detail)
    }
    if !result.info.why.isEmpty { lines += ["**Why it matters:** \(cell(result.info.why))", ""] }
    add("Left behind", result.leaks.joined(separator: "\n"))
    add("Again", report.rerun(result.id))
    if !result.info.threads.isEmpty { lines += ["See \(result.info.threads.map(thread).joined(separator: ", ")).", ""] }
    if let link = result.link { lines += ["Known: \(cell(link))", ""] }
    return lines + ["</details>", ""]
  }

  private static func wavering(_ report: RunReport) -> [String] {
    let results = report.results.filter(\.isWavering)
    if results.isEmpty { return [] }
    return ["### Passed only when run again", ""]
      + results.map { "- <code>\(markup($0.id))</code>: \(cell(String($0.earlier?.first?.split(separator: "\n").first ?? "")))" } + [""]
  }

  private static func skips(_ report: RunReport) -> [String] {
    guard !report.skipsByReason.isEmpty else { return [] }
    var lines = ["<details><summary>\(report.count(.skip)) skipped</summary>", ""]
    for (reason, results) in report.skipsByReason {
      lines.append("- **\(cell(reason))**: " + results.map { "`\($0.id)` (\(cell($0.headline)))" }.joined(separator: ", "))
    }
    return lines + ["", "</details>", ""]
  }

  private static func others(_ report: RunReport, _ context: ReportContext) -> [String] {
    guard !context.others.isEmpty else { return [] }
    var lines = ["### Beside others", "", "| backend | verdict | passed of run | red | skipped |", "|---|---|--:|--:|--:|"]
    for other in [report] + context.others {
      let red = other.results.count { $0.outcome.isRed }
      lines.append("| \(cell(other.name)) | \(Verdict(other).word.rawValue) | \(other.count(.pass)) of \(other.executed) | \(red) | \(other.count(.skip)) |")
    }
    return lines + [""]
  }

  static func thread(_ thread: String) -> String { threadLink(thread).map { "[\(cell(thread))](\($0))" } ?? cell(thread) }

  /// Text inside a line or a table: nothing in it may begin markup.
  static func cell(_ text: String) -> String {
    var out = ""
    for character in text {
      switch character {
      case "|", "*", "_", "`", "[", "]", "<", ">", "\\", "#", "~": out += "\\" + String(character)
      case _ where character.isNewline: out += " "
      default: out.append(character)
      }
    }
    return out
  }

  /// A fence longer than any run of backticks within.
  private static func fenced(_ text: String) -> String {
    var longest = 2
    var run = 0
    for character in text {
      run = character == "`" ? run + 1 : 0
      longest = max(longest, run)
    }
    let fence = String(repeating: "`", count: longest + 1)
    return "\(fence)\n\(text)\n\(fence)"
  }
}
