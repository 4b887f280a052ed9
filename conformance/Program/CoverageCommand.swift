import ArgumentParser
import ConformanceKit
import ConformanceReports
import ConformanceSuites
import ConformanceTargets

struct CoverageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "coverage", abstract: "Which case checks which numbered statement of the public documents.",
    discussion: "Ends with 1 if a statement that concerns the suite has no case, or a case cites a statement that does not exist.")

  @Argument(help: "Only these statements: ids or globs, such as SNAP-* or RT-L11.")
  var statements: [String] = []
  @Flag(help: "Only statements without a case, and what is wrong.")
  var uncovered = false
  @Flag(help: "As JSON.")
  var json = false
  @Flag(help: "As Markdown.")
  var markdown = false

  func run() throws {
    let coverage = StatementCoverage(cases: Catalogue.cases.map(\.info), statements.map(Glob.init))
    if coverage.rows.isEmpty { throw ValidationError("no statement is called \(statements.joined(separator: ", "))") }
    if json {
      print(try asJSON(coverage), terminator: "")
    } else {
      print(markdown ? coverage.markdown() : coverage.text(onlyUncovered: uncovered), terminator: "")
    }
    if !coverage.isComplete { throw ExitCode(1) }
  }
}
