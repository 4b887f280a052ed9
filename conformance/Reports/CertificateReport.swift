import ConformanceKit
import ConformanceSuites
import Foundation
import Hashing
import Protocols

/// What a backend's author may publish: what was judged, by what, where, with what result, and a digest that binds it to the results.
enum CertificateReport {
  static func render(_ report: RunReport) throws -> String {
    let verdict = Verdict(report)
    let certificate = Certificate(
      name: report.name, target: report.target, suiteVersion: report.suiteVersion, started: report.started, seed: report.seed, selection: report.selection,
      environment: report.environment, conformant: verdict.word == .conformant, verdict: verdict.word.rawValue, reasons: verdict.reasons,
      levels: Dictionary(
        uniqueKeysWithValues: ContractLevel.allCases.map { level in (level.rawValue, Counts(report.results.filter { $0.info.level == level })) }),
      skipped: Dictionary(uniqueKeysWithValues: report.skipsByReason.map { ($0.reason, $0.results.map(\.id)) }),
      knownFailures: report.results.filter { $0.outcome == .expectedFailure }.map(\.id),
      statementsChecked: report.checkedStatements.sorted(), results: Digest.of(Array(canonical(report).utf8)).description)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(certificate), as: UTF8.self) + "\n"
  }

  /// The results without what differs from run to run: `ID TAB LEVEL TAB OUTCOME TAB REASON` per case, in the order of bytes.
  static func canonical(_ report: RunReport) -> String {
    report.results.map { "\($0.id)\t\($0.info.level.rawValue)\t\($0.outcome.rawValue)\t\($0.skipReason ?? "-")\n" }
      .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }.joined()
  }

  private struct Certificate: Encodable {
    let schema = 1
    let kind = "containerd-conformance certificate"
    let name, target, suiteVersion, started: String
    let seed: UInt64
    let selection: String
    let environment: EnvironmentFingerprint
    let conformant: Bool
    let verdict: String
    let reasons: [String]
    let levels: [String: Counts]
    let skipped: [String: [String]]
    let knownFailures, statementsChecked: [String]
    /// Digest of the canonical results.
    let results: String
  }

  private struct Counts: Encodable {
    let cases, passed, red, known, skipped: Int

    init(_ results: [CaseResult]) {
      cases = results.count
      passed = results.count { $0.outcome == .pass && $0.leaks.isEmpty }
      red = results.count(where: \.isRed)
      known = results.count { $0.outcome == .expectedFailure }
      skipped = results.count { $0.outcome == .skip }
    }
  }
}
