import ArgumentParser
import ConformanceKit
import ConformanceMutants
import ConformanceReports
import ConformanceSuites
import ConformanceTargets

struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain", abstract: "All there is to know of a case: promise, reason, statements, threads, mutants, how to run it.")

  @Argument(help: "Ids or globs.")
  var cases: [String] = []
  @Flag(help: "As Markdown.")
  var markdown = false
  @Option(help: "Write the pages of all cases into this directory: an index, and a file per chapter.")
  var all: String?
  @Flag(help: "With --all: a file per case beside them.")
  var perCase = false

  func validate() throws {
    if all == nil && cases.isEmpty { throw ValidationError("name a case, or a directory with --all; `list` shows the cases") }
  }

  func run() throws {
    if let all { return try write(into: all) }
    let globs = cases.map(Glob.init)
    let chosen = Catalogue.cases.map(\.info).filter { info in globs.contains { $0.matches(info.id) } }
    if chosen.isEmpty { throw ValidationError("no case is called \(cases.joined(separator: ", ")); see `list`") }
    let pages = chosen.map { info in
      let page = CasePage(info, mutants: MutantCatalogue.all)
      return markdown ? page.markdown() : page.text()
    }
    print(pages.joined(separator: "\n"), terminator: "")
  }

  private func write(into directory: String) throws {
    let pages = Catalogue.cases.map { CasePage($0.info, mutants: MutantCatalogue.all) }
    for (name, text) in CasePage.book(pages, perCase: perCase) { try saveText(text, to: "\(directory)/\(name)") }
  }
}
