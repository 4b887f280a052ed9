import ConformanceKit
import ConformanceMutants
import ConformanceReports
import ConformanceSuites
import ConformanceTargets
import Foundation
import Testing

/// What is written of a run. The sample holds every outcome and texts that are hard to write down.
@Suite struct ReportTests {
  private let report = SampleReport.make(Catalogue.cases.map(\.info))

  private func rendered(_ form: ReportForm) throws -> String { try form.render(report) }

  private func object(_ text: some StringProtocol) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  @Test func theSampleHoldsEveryOutcome() {
    for outcome in Outcome.allCases { #expect(report.count(outcome) > 0, "\(outcome)") }
    #expect(!report.isGreen)
  }

  @Test(arguments: ReportForm.allCases) func theSameRunIsWrittenTheSameWay(_ form: ReportForm) throws {
    #expect(try rendered(form) == rendered(form))
  }

  @Test func aSavedReportIsReadBackWhole() throws {
    let again = try RunReport(json: Data(rendered(.json).utf8))
    #expect(try again.encoded() == rendered(.json))
  }

  @Test func jsonLinesHaveAHeaderALinePerCaseAndASummary() throws {
    let lines = try rendered(.jsonl).split(separator: "\n")
    #expect(lines.count == report.results.count + 2)
    #expect(try object(lines[0])["type"] as? String == "run")
    let cases = try lines.dropFirst().dropLast().map { try object($0) }
    #expect(cases.compactMap { $0["id"] as? String } == report.results.map(\.id))
    let summary = try object(try #require(lines.last))
    #expect((summary["outcomes"] as? [String: Int])?.values.reduce(0, +) == report.results.count)
    #expect(summary["green"] as? Bool == false)
  }

  @Test func everyCaseIsInEveryFormThatListsCases() throws {
    for form in [ReportForm.junit, .tap, .html] {
      let text = try rendered(form)
      for result in report.results { #expect(text.contains(result.id), "\(form): \(result.id)") }
    }
  }

  @Test func junitCountsWhatItHolds() throws {
    let text = try rendered(.junit)
    func sum(_ name: String) -> Int {
      text.split(separator: " ").filter { $0.hasPrefix(name + "=\"") }.compactMap { Int($0.dropFirst(name.count + 2).prefix(while: \.isNumber)) }.reduce(0, +)
    }
    // What the run left behind is a failure of its own, beside the cases'.
    #expect(!report.leaks.isEmpty && text.contains("name=\"the-run\""))
    #expect(sum("tests") == report.results.count + 1)
    #expect(sum("failures") == text.components(separatedBy: "<failure ").count - 1)
    #expect(sum("errors") == text.components(separatedBy: "<error ").count - 1)
    #expect(sum("skipped") == text.components(separatedBy: "<skipped ").count - 1)
    #expect(!text.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" && $0 != "\t" })
  }

  @Test func tapExcusesOnlyWhatIsKnown() throws {
    let lines = try rendered(.tap).split(separator: "\n").map(String.init)
    #expect(lines[0] == "TAP version 14" && lines[1] == "1..\(report.results.count + report.leaks.count)")
    #expect(lines.count { $0.hasPrefix("ok ") || $0.hasPrefix("not ok ") } == report.results.count + report.leaks.count)
    #expect(lines.count { $0.hasPrefix("not ok ") && $0.contains(" # TODO ") } == report.count(.expectedFailure))
    #expect(lines.count { $0.hasPrefix("ok ") && $0.contains(" # SKIP ") } == report.count(.skip))
    #expect(lines.count { $0 == "  ---" } == lines.count { $0 == "  ..." })
  }

  @Test func thePageFetchesNothingAndEscapesWhatBackendsSay() throws {
    let page = try rendered(.html)
    #expect(page.contains("default-src 'none'"))
    #expect(!page.contains("<script src") && !page.contains("<link rel=\"stylesheet\"") && !page.contains("<b> &"))
    #expect(page.contains("a &lt;b&gt; &amp; &quot;c&quot;"))
  }

  @Test func theTerminalIsNotSteeredByBackends() {
    #expect(!TerminalReport(colours: false).render(report).contains("\u{1B}"))
    #expect(!TerminalReport(colours: true).render(report).contains("| \u{1}\u{1B}[31m"))
    #expect(!TerminalReport.wantsColours(isTerminal: false, environment: [:]))
    #expect(!TerminalReport.wantsColours(isTerminal: true, environment: ["NO_COLOR": "1"]))
    #expect(TerminalReport.wantsColours(isTerminal: true, environment: ["TERM": "xterm"]))
  }

  // MARK: the verdict

  private func verdict(_ outcome: Outcome, skip: String? = nil, leaks: [String] = []) throws -> Verdict.Word {
    var report = report
    let info = try #require(report.results.first { $0.info.level == .must }).info
    var result = CaseResult(info, outcome)
    result.skipReason = skip
    result.leaks = leaks
    report.results = [CaseResult(info, .pass), result]
    report.leaks = []
    return Verdict(report).word
  }

  @Test func onlyMissingCapabilitiesMayKeepAMustFromBeingTried() throws {
    #expect(try verdict(.pass) == .conformant)
    #expect(try verdict(.skip, skip: "capability") == .conformant)
    for reason in ["privilege", "environment", "tool"] { #expect(try verdict(.skip, skip: reason) == .undecided) }
    for outcome in [Outcome.error, .blocked] { #expect(try verdict(outcome) == .undecided) }
  }

  @Test func aPartShowsNoMoreThanAPart() throws {
    var part = report
    part.results = part.results.filter { $0.outcome == .pass && $0.info.level == .must && $0.leaks.isEmpty }
    part.leaks = []
    part.selection = "tag:core"
    #expect(Verdict(part).word == .partial)
    #expect(Verdict(part).reasons == ["only this was run: tag:core"])
    #expect(try object(ReportForm.certificate.render(part))["conformant"] as? Bool == false)
    #expect(try ReportForm.badge.render(part).contains("partial"))
  }

  @Test func aKnownFailureExcusesTheRunAndNotTheBackend() throws {
    for outcome in [Outcome.fail, .timeout, .crash, .flaky, .expectedFailure] { #expect(try verdict(outcome) == .notConformant) }
    #expect(try verdict(.pass, leaks: ["mount /x"]) == .notConformant)
  }

  @Test func whoHasShownNothingIsNotConformant() throws {
    var empty = report
    empty.results = []
    empty.leaks = []
    #expect(Verdict(empty).word == .undecided)
    #expect(try object(ReportForm.certificate.render(empty))["conformant"] as? Bool == false)
  }

  // MARK: comparison

  @Test func aDifferenceTellsRegressionsFixesAndSymptoms() throws {
    var (before, after) = (report, report)
    let infos = Array(Catalogue.cases.map(\.info).prefix(6))
    before.results = [
      CaseResult(infos[0], .pass), CaseResult(infos[1], .fail, detail: "took 3 s"), CaseResult(infos[2], .fail, detail: "took 3 s"),
      CaseResult(infos[3], .fail, detail: "no such key"), CaseResult(infos[4], .pass),
    ]
    after.results = [
      CaseResult(infos[0], .fail), CaseResult(infos[1], .pass), CaseResult(infos[2], .fail, detail: "took 4 s"),
      CaseResult(infos[3], .fail, detail: "no answer"), CaseResult(infos[5], .pass),
    ]
    let difference = ReportDifference(before, after)
    #expect(difference.regressions.map(\.id) == [infos[0].id])
    #expect(difference.fixes.map(\.id) == [infos[1].id])
    #expect(difference.symptoms.map(\.id) == [infos[3].id])
    #expect(difference.gone.map(\.id) == [infos[4].id] && difference.added.map(\.id) == [infos[5].id])
    #expect(difference.same == 1)
  }

  // MARK: statements and pages

  @Test func everyStatementHasItsOwnIdAndSaysSomething() {
    #expect(Statement.all.count == Set(Statement.all.map(\.id)).count)
    #expect(Statement.all.count == 418)
    for statement in Statement.all { #expect(!statement.sentence.isEmpty && !statement.section.isEmpty && statement.exempt != "", "\(statement.id)") }
    #expect(Set(Statement.all.map(\.document)) == Set(Statement.Document.allCases))
    for document in Statement.Document.allCases { #expect(!document.revision.isEmpty && !document.link.isEmpty, "\(document)") }
  }

  @Test func coverageCountsCasesAndNamesWhatDoesNotExist() throws {
    let some = Catalogue.cases.map(\.info).filter { $0.id == "snapshots.prepare.existing-key" }
    let coverage = StatementCoverage(cases: some, [Glob("SNAP-05"), Glob("SNAP-04")])
    #expect(coverage.covered == 1 && coverage.concerning == 2 && !coverage.isComplete)
    #expect(coverage.text(onlyUncovered: true).contains("SNAP-04"))
  }

  @Test func aCasePageTellsWhatTheCaseKnows() throws {
    let info = try #require(Catalogue.cases.first { $0.id == "snapshots.prepare.existing-key" }).info
    let page = CasePage(info, mutants: MutantCatalogue.all)
    for text in [page.text(), page.markdown()] {
      for part in [info.id, info.sentence, "SNAP-05", "M001"] { #expect(text.contains(part), "\(part)") }
    }
  }

  @Test func theBookHasEveryCaseOnce() {
    let pages = Catalogue.cases.map { CasePage($0.info, mutants: []) }
    let book = CasePage.book(pages, perCase: true)
    #expect(Set(book.map(\.name)).count == book.count)
    for page in pages { #expect(book.contains { $0.name.hasSuffix("/\(page.info.id).md") }, "\(page.info.id)") }
  }

  @Test func wordsAreQuotedForTheShell() {
    #expect(shellQuoted("inproc:fake") == "inproc:fake")
    #expect(shellQuoted("a b") == "'a b'")
    #expect(shellQuoted("it's?") == "'it'\\''s?'")
    #expect(shellQuoted("") == "''")
  }
}
