import ArgumentParser
import ConformanceKit
import ConformanceReports
import ConformanceTargets
import Foundation

/// Writes every form of an invented report that holds every outcome: what the checks of the forms read.
struct ReportSampleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report-sample", abstract: "Writes an invented report with every outcome in every form.", shouldDisplay: false)

  @Argument(help: "A directory, made where it is missing.") var directory: String

  func run() throws {
    let report = SampleReport.make(Catalogue.cases.map(\.info))
    var other = SampleReport.make(Catalogue.cases.map(\.info), shifted: 3)
    other.name = "another-backend"
    let context = ReportContext(proof: SuiteProof(mutants: 152, mutantsKilled: 150, falseAlarms: 0), others: [other])
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    for form in ReportForm.allCases { try write(try form.render(report, context), form.fileName) }
    try write(MatrixPage.render([report, other]), "matrix.html")
    try write(try other.encoded(), "other.json")
    try write(TerminalReport(colours: false).render(report), "terminal.txt")
  }

  private func write(_ text: String, _ name: String) throws { try text.write(toFile: directory + "/" + name, atomically: true, encoding: .utf8) }
}
