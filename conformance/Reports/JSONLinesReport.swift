import ConformanceKit
import ConformanceSuites
import Foundation

/// One object per line: a `run`, a `case` for each result, and a `summary`. The shape is described in docs/conformance/report-schema.md.
enum JSONLinesReport {
  static func render(_ report: RunReport) throws -> String {
    var lines = [
      try line(
        Header(
          schema: report.schema, name: report.name, target: report.target, started: report.started, seed: report.seed, suiteVersion: report.suiteVersion,
          selection: report.selection, cases: report.results.count, environment: report.environment))
    ]
    for result in report.results { lines.append(try line(Case(result, again: report.rerun(result.id)))) }
    let verdict = Verdict(report)
    lines.append(
      try line(
        Summary(
          outcomes: Dictionary(uniqueKeysWithValues: Outcome.allCases.map { ($0.rawValue, report.count($0)) }), executed: report.executed,
          seconds: report.seconds, green: report.isGreen, verdict: verdict.word.rawValue, reasons: verdict.reasons,
          statementsChecked: report.checkedStatements.sorted())))
    return lines.joined(separator: "\n") + "\n"
  }

  private static func line(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }

  private struct Header: Encodable {
    let type = "run"
    let schema: Int
    let name, target, started: String
    let seed: UInt64
    let suiteVersion, selection: String
    let cases: Int
    let environment: EnvironmentFingerprint
  }

  private struct Case: Encodable {
    let type = "case"
    let id, chapter, level, outcome, sentence, source: String
    let statements, threads, needs: [String]
    let detail: String
    let skipReason, expected, actual, link: String?
    let why: String
    let leaks: [String]
    let steps: [Record.Step]
    let seconds: Double
    let seed: UInt64
    let attempts: Int
    let earlier: [String]?
    let log, again: String

    init(_ result: CaseResult, again: String) {
      id = result.id
      chapter = result.info.group.rawValue
      level = result.info.level.rawValue
      outcome = result.outcome.rawValue
      sentence = result.info.sentence
      source = result.info.source
      statements = result.info.statements
      threads = result.info.threads
      needs = result.info.needs
      detail = result.detail
      skipReason = result.skipReason
      expected = result.expected
      actual = result.actual
      link = result.link
      why = result.info.why
      leaks = result.leaks
      steps = result.steps
      seconds = result.seconds
      seed = result.seed
      attempts = result.attempts
      earlier = result.earlier
      log = result.log
      self.again = again
    }
  }

  private struct Summary: Encodable {
    let type = "summary"
    let outcomes: [String: Int]
    let executed: Int
    let seconds: Double
    let green: Bool
    let verdict: String
    let reasons, statementsChecked: [String]
  }
}
