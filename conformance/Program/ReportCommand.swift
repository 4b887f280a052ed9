import ArgumentParser
import ConformanceKit
import ConformanceReports
import ConformanceSuites
import Foundation

extension ReportForm: ExpressibleByArgument {}

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "report", abstract: "Writes a saved report in another form.")

  @Argument(help: "The form: \(ReportForm.allCases.map(\.rawValue).joined(separator: ", ")).")
  var form: ReportForm
  @Argument(help: "The report, as `run --save` writes it.")
  var file: String
  @Option(help: "Other reports, for comparison. Repeatable.")
  var beside: [String] = []
  @Option(help: "A kill matrix, as `mutate --save` writes it: what the suite's word is worth.")
  var proof: String?
  @Option(name: .shortAndLong, help: "Write into this file instead of standard output.")
  var output: String?

  func run() throws {
    var context = ReportContext(others: try beside.map(savedReport))
    if let proof { context.proof = try SuiteProof(killMatrix: proof) }
    try deliver(try form.render(try savedReport(file), context), to: output)
  }
}

struct BadgeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "badge", abstract: "Draws a badge of a saved report, as SVG.")

  @Argument(help: "The report, as `run --save` writes it.")
  var file: String
  @Option(name: .shortAndLong, help: "Write into this file instead of standard output.")
  var output: String?

  func run() throws { try deliver(try ReportForm.badge.render(try savedReport(file)), to: output) }
}

struct MatrixCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "matrix", abstract: "One page for many backends: a row per case, a column per saved report.")

  @Argument(help: "Saved reports, or directories that hold them (at any depth).")
  var sources: [String]
  @Option(name: .shortAndLong, help: "The page.")
  var output: String

  func run() throws {
    var reports: [(report: RunReport, page: String?)] = []
    for source in sources {
      for file in try files(at: source) {
        do { reports.append((try savedReport(file), page(beside: file))) } catch {
          // A directory of reports holds other JSON beside them: certificates, kill matrices.
          if file == source { throw error }
        }
      }
    }
    if reports.isEmpty { throw ValidationError("no report in \(sources.joined(separator: ", "))") }
    reports.sort { ($0.report.name, $0.report.started) < ($1.report.name, $1.report.started) }
    try saveText(MatrixPage.render(reports.map(\.report), pages: reports.map(\.page)), to: output)
    print("\(output): \(reports.count) backends")
  }

  private func files(at source: String) throws -> [String] {
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: source, isDirectory: &isDirectory) else { throw SuiteError("\(source): no such file or directory") }
    if !isDirectory.boolValue { return [source] }
    return try FileManager.default.subpathsOfDirectory(atPath: source).filter { $0.hasSuffix(".json") }.sorted().map { source + "/" + $0 }
  }

  /// The page of a run, seen from where the matrix is written, if it lies there or below.
  private func page(beside file: String) -> String? {
    let file = URL(fileURLWithPath: file)
    let base = URL(fileURLWithPath: output).deletingLastPathComponent().standardizedFileURL.path
    // Either the report lies in the directory of its forms, or the directory beside it is called as it is.
    for directory in [file.deletingPathExtension(), file.deletingLastPathComponent()] {
      let page = directory.appendingPathComponent("report.html").standardizedFileURL.path
      if FileManager.default.fileExists(atPath: page), page.hasPrefix(base + "/") { return String(page.dropFirst(base.count + 1)) }
    }
    return nil
  }
}

func savedReport(_ file: String) throws -> RunReport {
  let text = try contents(of: file)
  do { return try RunReport(json: Data(text.utf8)) } catch { throw SuiteError("\(file) is no saved report of `run --save`") }
}

func savedMatrix(_ file: String) throws -> MutationReport {
  let text = try contents(of: file)
  do { return try JSONDecoder().decode(MutationReport.self, from: Data(text.utf8)) } catch { throw SuiteError("\(file) is no kill matrix of `mutate --save`") }
}

private func deliver(_ text: String, to file: String?) throws {
  if let file { try saveText(text, to: file) } else { print(text, terminator: "") }
}

extension SuiteProof {
  /// From what `mutate --save` writes.
  init(killMatrix file: String) throws {
    let matrix = try savedMatrix(file)
    self.init(mutants: matrix.mutants.count, mutantsKilled: matrix.killed, falseAlarms: matrix.falseAlarms.count)
  }
}
