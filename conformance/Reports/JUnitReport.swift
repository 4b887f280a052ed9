import ConformanceKit
import ConformanceSuites

/// JUnit's XML, in the narrow shape that the schemas in use agree on: one suite per chapter, one `failure`, `error` or `skipped` per case.
enum JUnitReport {
  static func render(_ report: RunReport) -> String {
    var lines = [#"<?xml version="1.0" encoding="UTF-8"?>"#, "<testsuites>"]
    let chapters = report.chapters
    for (number, chapter) in chapters.enumerated() {
      let results = chapter.results
      let failures = results.count { kind($0) == .failure }
      let errors = results.count { kind($0) == .error }
      let skipped = results.count { kind($0) == .skipped }
      let seconds = results.reduce(0) { $0 + $1.seconds }
      lines.append(
        "  <testsuite package=\"\(attribute(report.name))\" id=\"\(number)\" name=\"\(attribute(chapter.group.rawValue))\" "
          + "timestamp=\"\(attribute(String(report.started.prefix(19))))\" hostname=\"localhost\" tests=\"\(results.count)\" failures=\"\(failures)\" "
          + "errors=\"\(errors)\" skipped=\"\(skipped)\" time=\"\(decimal(seconds, 3))\">")
      lines.append("    <properties>")
      for (name, value) in properties(report) { lines.append("      <property name=\"\(attribute(name))\" value=\"\(attribute(value))\"/>") }
      lines.append("    </properties>")
      for result in results { lines += testcase(result, report) }
      lines += ["    <system-out/>", "    <system-err/>", "  </testsuite>"]
    }
    lines += ofTheRun(report, number: chapters.count)
    return lines.joined(separator: "\n") + "\n</testsuites>\n"
  }

  /// What is red and no case's: a suite of one case, or nothing.
  private static func ofTheRun(_ report: RunReport, number: Int) -> [String] {
    let problems = report.ownProblems
    if problems.isEmpty { return [] }
    let name = attribute(report.name)
    let body = attribute(problems.joined(separator: "\n"), keepLines: true)
    return [
      "  <testsuite package=\"\(name)\" id=\"\(number)\" name=\"the-run\" timestamp=\"\(attribute(String(report.started.prefix(19))))\" "
        + "hostname=\"localhost\" tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"0.000\">", "    <properties/>",
      "    <testcase classname=\"\(name).the-run\" name=\"the-run\" time=\"0.000\">",
      "      <failure message=\"\(attribute(problems[0]))\" type=\"fail\">\(body)</failure>", "    </testcase>", "    <system-out/>", "    <system-err/>",
      "  </testsuite>",
    ]
  }

  private enum Kind { case passed, failure, error, skipped }

  /// A case that could not be judged is an error; a leak beside a pass is a failure.
  private static func kind(_ result: CaseResult) -> Kind {
    switch result.outcome {
    case .pass: result.leaks.isEmpty ? .passed : .failure
    case .fail, .flaky, .unexpectedPass: .failure
    case .error, .timeout, .crash, .blocked: .error
    case .skip, .expectedFailure: .skipped
    }
  }

  private static func testcase(_ result: CaseResult, _ report: RunReport) -> [String] {
    let open =
      "    <testcase classname=\"\(attribute(report.name)).\(attribute(result.info.group.rawValue))\" name=\"\(attribute(result.id))\" "
      + "time=\"\(decimal(result.seconds, 3))\""
    let message = attribute(message(result))
    switch kind(result) {
    case .passed: return [open + "/>"]
    case .skipped: return [open + ">", "      <skipped message=\"\(message)\"/>", "    </testcase>"]
    case .failure: return [open + ">", element("failure", result, message, report), "    </testcase>"]
    case .error: return [open + ">", element("error", result, message, report), "    </testcase>"]
    }
  }

  private static func message(_ result: CaseResult) -> String {
    switch result.outcome {
    case .skip: "\(result.skipReason ?? "unknown"): \(result.headline)"
    case .expectedFailure: "known failure: \(result.headline)" + (result.link.map { " (\($0))" } ?? "")
    default: result.headline
    }
  }

  private static func element(_ name: String, _ result: CaseResult, _ message: String, _ report: RunReport) -> String {
    var text = ["\(result.info.level.rawValue): \(result.info.sentence)", "source: \(result.info.source)", result.detail]
    if let expected = result.expected { text.append("expected: \(expected)") }
    if let actual = result.actual { text.append("actual: \(actual)") }
    if !result.info.why.isEmpty { text.append("why it matters: \(result.info.why)") }
    if !result.leaks.isEmpty { text.append("left behind: " + result.leaks.joined(separator: "; ")) }
    text.append("again: \(report.rerun(result.id))")
    if !result.log.isEmpty { text.append("log:\n\(result.log)") }
    let body = attribute(text.joined(separator: "\n"), keepLines: true)
    return "      <\(name) message=\"\(message)\" type=\"\(attribute(result.outcome.rawValue))\">\(body)</\(name)>"
  }

  private static func properties(_ report: RunReport) -> [(String, String)] {
    let machine = report.environment
    return [
      ("target", report.target), ("suite", report.suiteVersion), ("seed", "\(report.seed)"), ("selection", report.selection), ("kernel", machine.kernel),
      ("architecture", machine.architecture), ("distribution", machine.distribution), ("cgroups", machine.cgroups), ("root", "\(machine.root)"),
      ("scratch", machine.scratchFilesystem), ("cpus", "\(machine.cpus)"), ("memoryMiB", "\(machine.memoryMiB)"),
    ] + machine.tools.sorted { $0.key < $1.key }.map { ("tool.\($0.key)", $0.value) }
  }

  /// XML knows no other control characters than these three, escaped or not: the rest is shown as a replacement.
  private static func attribute(_ text: String, keepLines: Bool = false) -> String {
    var out = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": out += "&amp;"
      case "<": out += "&lt;"
      case ">": out += "&gt;"
      case "\"": out += "&quot;"
      case "\n": out += keepLines ? "\n" : "&#10;"
      case "\t": out += keepLines ? "\t" : "&#9;"
      case "\r": out += "&#13;"
      default: out.unicodeScalars.append(scalar.value < 0x20 || scalar.value == 0xFFFE || scalar.value == 0xFFFF ? "\u{FFFD}" : scalar)
      }
    }
    return out
  }
}
