import ConformanceKit
import ConformanceReports

/// Where reports go.
enum ReportFiles {
  static func write(_ report: RunReport, to directory: String) throws {
    try saveText(asJSON(report), to: directory + "/report.json")
  }

  static func summary(_ report: RunReport) -> String {
    let figures = Outcome.allCases.map { ($0, report.count($0)) }.filter { $0.1 > 0 }.map { "\($0.1) \($0.0.rawValue)" }.joined(separator: ", ")
    return "\(report.isGreen ? "green" : "RED"): \(figures) in \(Int(report.seconds.rounded())) s; seed \(report.seed)"
      + report.leaks.map { "\n  left on this machine: \($0)" }.joined()
  }
}
