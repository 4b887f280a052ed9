import ArgumentParser
import ConformanceReports

struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "What changed between two saved reports, or differs between two backends.",
    discussion: "Ends with 1 if something that was not red is.")

  @Argument(help: "The report before, as `run --save` writes it.")
  var before: String
  @Argument(help: "The report after.")
  var after: String
  @Flag(help: "As JSON.")
  var json = false

  func run() throws {
    let difference = ReportDifference(try savedReport(before), try savedReport(after))
    print(json ? try asJSON(difference) : difference.text(), terminator: "")
    if !difference.regressions.isEmpty { throw ExitCode(1) }
  }
}
