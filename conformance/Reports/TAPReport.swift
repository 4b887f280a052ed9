import ConformanceKit
import ConformanceSuites

/// The Test Anything Protocol, version 14. What a case found stands in the YAML block below its line.
enum TAPReport {
  static func render(_ report: RunReport) -> String {
    let problems = report.ownProblems
    var lines = ["TAP version 14", "1..\(report.results.count + problems.count)"]
    lines.append("# target \(oneLine(report.target)), suite \(report.suiteVersion), seed \(report.seed)")
    for (number, result) in report.results.enumerated() {
      lines.append("\(isOK(result) ? "ok" : "not ok") \(number + 1) - \(escaped(result.id)): \(escaped(result.info.sentence))\(directive(result))")
      if result.outcome != .pass || !result.leaks.isEmpty { lines += diagnostics(result, report) }
    }
    for (number, problem) in problems.enumerated() { lines.append("not ok \(report.results.count + number + 1) - the-run: \(escaped(problem))") }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func isOK(_ result: CaseResult) -> Bool {
    switch result.outcome {
    case .pass: result.leaks.isEmpty
    case .skip: true
    default: false
    }
  }

  /// A reader counts `TODO` as no failure, so only what is known and expected gets it.
  private static func directive(_ result: CaseResult) -> String {
    switch result.outcome {
    case .skip: " # SKIP \(result.skipReason ?? "unknown"): \(oneLine(result.headline))"
    case .expectedFailure: " # TODO \(oneLine(result.link ?? "known failure"))"
    default: ""
    }
  }

  private static func diagnostics(_ result: CaseResult, _ report: RunReport) -> [String] {
    var lines = ["  ---"]
    func add(_ key: String, _ value: String) { lines.append("  \(key): \(quoted(value))") }
    add("outcome", result.outcome.rawValue)
    add("level", result.info.level.rawValue)
    add("message", result.detail)
    if let expected = result.expected { add("expected", expected) }
    if let actual = result.actual { add("actual", actual) }
    if !result.info.why.isEmpty { add("why", result.info.why) }
    add("source", result.info.source)
    if !result.leaks.isEmpty { lines.append("  leaks:") }
    lines += result.leaks.map { "    - \(quoted($0))" }
    if result.outcome != .skip { add("again", report.rerun(result.id)) }
    lines.append("  duration_ms: \(decimal(result.seconds * 1000, 1))")
    return lines + ["  ..."]
  }

  private static func oneLine(_ text: String) -> String { text.split(whereSeparator: \.isNewline).joined(separator: " ") }

  /// In a description a number sign would begin a directive.
  private static func escaped(_ text: String) -> String { oneLine(text).replacing("\\", with: "\\\\").replacing("#", with: "\\#") }

  /// A double-quoted scalar of YAML.
  private static func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\t": out += "\\t"
      case "\r": out += "\\r"
      default:
        if scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) {
          out += "\\x" + (scalar.value < 0x10 ? "0" : "") + String(scalar.value, radix: 16)
        } else {
          out.unicodeScalars.append(scalar)
        }
      }
    }
    return out + "\""
  }
}
