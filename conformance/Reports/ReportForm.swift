import ConformanceKit
import Foundation

/// A way to write a report down. Every form is a pure function of the report: the same run, written twice, gives the same text.
public enum ReportForm: String, CaseIterable, Sendable {
  case json
  case jsonl
  case junit
  case tap
  case markdown
  case html
  case badge
  case certificate

  /// The name under which the form is filed beside others: `report.html`.
  public var fileName: String {
    switch self {
    case .json: "report.json"
    case .jsonl: "report.jsonl"
    case .junit: "junit.xml"
    case .tap: "report.tap"
    case .markdown: "summary.md"
    case .html: "report.html"
    case .badge: "badge.svg"
    case .certificate: "certificate.json"
    }
  }

  public func render(_ report: RunReport, _ context: ReportContext = ReportContext()) throws -> String {
    switch self {
    case .json: try report.encoded()
    case .jsonl: try JSONLinesReport.render(report)
    case .junit: JUnitReport.render(report)
    case .tap: TAPReport.render(report)
    case .markdown: MarkdownReport.render(report, context)
    case .html: PageReport.render(report, context)
    case .badge: BadgeReport.render(report)
    case .certificate: try CertificateReport.render(report)
    }
  }
}

/// What some forms show beside the run itself.
public struct ReportContext: Sendable {
  /// Of the suite: how good it is at finding faults.
  public var proof: SuiteProof?
  /// Runs against other backends, for comparison.
  public var others: [RunReport]

  public init(proof: SuiteProof? = nil, others: [RunReport] = []) {
    self.proof = proof
    self.others = others
  }
}

/// What stands behind the suite's word: how many faults it found of those that were put in, and how often it blamed the innocent.
public struct SuiteProof: Codable, Sendable {
  public var mutants: Int
  public var mutantsKilled: Int
  public var falseAlarms: Int

  public init(mutants: Int, mutantsKilled: Int, falseAlarms: Int) {
    self.mutants = mutants
    self.mutantsKilled = mutantsKilled
    self.falseAlarms = falseAlarms
  }
}

extension RunReport {
  /// The report as it is filed and read back: JSON with sorted keys.
  public func encoded() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
  }

  public init(json: Data) throws { self = try JSONDecoder().decode(RunReport.self, from: json) }
}
