import CLinux
import ConformanceKit
import ConformanceReports
import Foundation

/// Where reports go.
enum ReportFiles {
  static func write(_ report: RunReport, to directory: String, _ context: ReportContext = ReportContext()) throws {
    for form in ReportForm.allCases { try saveText(try form.render(report, context), to: directory + "/" + form.fileName) }
  }

  static func summary(_ report: RunReport) -> String {
    var size = winsize()
    let terminal = isatty(1) == 1
    let width = terminal && ioctl(1, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 100
    let colours = TerminalReport.wantsColours(isTerminal: terminal, environment: ProcessInfo.processInfo.environment)
    return TerminalReport(colours: colours, width: width).render(report)
  }

  /// The last line alone.
  static func verdict(_ report: RunReport) -> String {
    let figures = Outcome.allCases.map { ($0, report.count($0)) }.filter { $0.1 > 0 }.map { "\($0.1) \($0.0.rawValue)" }.joined(separator: ", ")
    return "\(report.isGreen ? "green" : "RED"): \(Verdict(report).word.rawValue), \(figures) in \(Int(report.seconds.rounded())) s; seed \(report.seed)"
      + report.leaks.map { "\n  left on this machine: \($0)" }.joined() + (report.fileProblems ?? []).map { "\n  known failures: \($0)" }.joined()
  }
}
