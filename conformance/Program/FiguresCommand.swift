import ArgumentParser
import ConformanceKit
import ConformanceMutants
import ConformanceReports
import ConformanceSuites
import ConformanceTargets
import Foundation

struct FiguresCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "figures", abstract: "The three figures of a set of runs: mutants killed, false alarms, statements covered.")

  @Argument(help: "Saved reports of runs against backends known to be good.") var reports: [String] = []
  @Option(help: "The saved kill matrix of `mutate`.") var mutation: String?

  func run() throws {
    let runs = try reports.map(savedReport)
    if let mutation {
      let matrix = try savedMatrix(mutation)
      let elsewhere = matrix.verdicts.count { $0.state == .notHere }
      print(
        "mutants killed        \(matrix.killed) of \(matrix.mutants.count), controls green \(matrix.controlsGreen) of \(matrix.verdicts.count(where: \.control))"
          + (elsewhere == 0 ? "" : ", \(elsewhere) cannot be judged here"))
      for verdict in matrix.alive { print("  alive\(verdict.must ? " (MUST)" : ""): \(verdict.id): \(verdict.sentence): \(verdict.state.rawValue)") }
    } else {
      print("mutants killed        not run (see `mutate`); the catalogue has \(MutantCatalogue.all.count { !$0.isControl })")
    }
    let alarms = runs.flatMap { run in run.results.filter(\.isRed).map { (run.name, $0) } }
    print("false alarms          \(alarms.count) in \(runs.map(\.executed).reduce(0, +)) verdicts on \(runs.count) backends known to be good")
    for (name, result) in alarms { print("  \(name): \(result.id): \(result.outcome.rawValue): \(result.detail.split(separator: "\n").first ?? "")") }
    let wavering = runs.flatMap { run in run.results.filter(\.isWavering).map { (run.name, $0) } }
    for (name, result) in wavering {
      print("  \(name): \(result.id): passed when it was run again: \(result.earlier?.first?.split(separator: "\n").first ?? "")")
    }
    let coverage = StatementCoverage(cases: Catalogue.cases.map(\.info))
    print(
      "statements covered    \(coverage.covered) of \(coverage.concerning); \(coverage.rows.count - coverage.concerning) others do not concern the suite, each with a reason"
    )
    let left = runs.flatMap { run in run.leaks.map { (run.name, $0) } }
    for (name, leak) in left { print("  \(name): after the run: \(leak)") }
    if !alarms.isEmpty || !left.isEmpty { throw ExitCode(1) }
  }
}
