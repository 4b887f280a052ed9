import ConformanceKit
import ConformanceSuites
import ConformanceTargets
import Testing

/// The file of known failures keeps a run honest in both directions.
@Suite struct KnownFailuresTests {
  private let info = Catalogue.cases[0].info
  private func result(_ outcome: Outcome, _ detail: String = "") -> CaseResult { CaseResult(info, outcome, detail: detail) }
  private func known(_ symptom: String = "too big", expires: String = "2030-01-01") throws -> KnownFailures {
    try KnownFailures(parsing: "# why\n\(info.id) | \(symptom) | docs/findings.md | \(expires)\n", file: "known.txt")
  }

  @Test func theKnownSymptomIsExpected() throws {
    let judged = try known().judge(result(.fail, "the usage is too big"), today: "2026-01-01")
    #expect(judged.outcome == .expectedFailure)
    #expect(judged.link == "docs/findings.md")
  }

  @Test func anotherSymptomStaysRed() throws {
    let judged = try known().judge(result(.fail, "the usage is negative"), today: "2026-01-01")
    #expect(judged.outcome == .fail)
    #expect(judged.detail.contains("another symptom"))
  }

  @Test func aPassIsUnexpected() throws { #expect(try known().judge(result(.pass), today: "2026-01-01").outcome == .unexpectedPass) }

  @Test func whatDependsOnTheMomentMayPass() throws {
    let text = "\(info.id) | too big | docs/findings.md | 2030-01-01 | intermittent\n"
    let known = try KnownFailures(parsing: text, file: "known.txt")
    #expect(known.judge(result(.pass), today: "2026-01-01").outcome == .pass)
    #expect(known.judge(result(.fail, "too big"), today: "2026-01-01").outcome == .expectedFailure)
    #expect(known.judge(result(.flaky, "1 of 2 attempts passed; one that did not: too big"), today: "2026-01-01").outcome == .expectedFailure)
    #expect(known.judge(result(.fail, "negative"), today: "2026-01-01").outcome == .fail)
    #expect(known.judge(result(.flaky, "negative"), today: "2026-01-01").outcome == .flaky)
    #expect(try self.known().judge(result(.flaky, "too big"), today: "2026-01-01").outcome == .flaky)
    #expect(
      try KnownFailures.rewritten(
        text, results: [result(.pass)], ids: [info.id], file: "known.txt", today: "2026-01-01", expires: "2031-01-01"
      ).text == text)
  }

  @Test func anExpiredEntryExcusesNothing() throws {
    let expired = try known(expires: "2025-01-01")
    #expect(expired.judge(result(.fail, "too big"), today: "2026-01-01").outcome == .fail)
    #expect(expired.problems(with: Catalogue.cases, today: "2026-01-01").contains { $0.contains("expired") })
  }

  @Test func anErrorOfTheSuiteIsNeverExcused() throws { #expect(try known().judge(result(.error, "too big"), today: "2026-01-01").outcome == .error) }

  @Test func staleAndGreedyEntriesAreProblems() throws {
    let file = try KnownFailures(parsing: "no.such.case | x | y | 2030-01-01\n* | x | y | 2030-01-01\n", file: "known.txt")
    let problems = file.problems(with: Catalogue.cases, today: "2026-01-01")
    #expect(problems.contains { $0.contains("stale") })
    #expect(problems.contains { $0.contains("at most") })
  }

  @Test(arguments: [
    "only-an-id", "id | symptom | link", "id | symptom | link | soon", "id | symptom | link | 2031-02-29", "id | symptom | link | 2030-01-01 | often",
    " | s | l | 2030-01-01",
  ])
  func aBadLineIsNamed(_ line: String) {
    do {
      _ = try KnownFailures(parsing: "\n" + line, file: "known.txt")
      Issue.record("it was taken: \(line)")
    } catch { #expect("\(error)".contains("known.txt:2")) }
  }

  @Test func fixingDropsWhatPassesAndEntersWhatFails() throws {
    let passed = try rewritten(known, result(.unexpectedPass))
    #expect(passed.text == "# a comment\n")
    #expect(passed.changes == ["\(info.id): taken out: it passed"])
    let entered = try rewritten("# a comment\n", result(.fail, "one | and two"))
    #expect(entered.text == "# a comment\n\(info.id) | and two | to be explained | 2031-01-01\n")
    let changed = try rewritten(known, result(.fail, "negative, in /var/tmp/conformance-1-2/c1"))
    #expect(changed.text == "# a comment\n\(info.id) | negative, in | docs/findings.md | 2030-01-01\n")
  }

  @Test(arguments: [Outcome.blocked, .error, .flaky, .skip, .expectedFailure]) func fixingKeepsWhatWasNotJudged(_ outcome: Outcome) throws {
    let fixed = try rewritten(known, result(outcome))
    #expect(fixed.text == known && fixed.changes.isEmpty)
  }

  @Test func fixingRenewsWhatExpiredAndStillFailsAndDropsWhatNoCaseIsCalled() throws {
    let text = "\(info.id) | too big | docs/findings.md | 2026-01-01\nno.such.case | x | y | 2030-01-01\n"
    let fixed = try rewritten(text, result(.fail, "it was too big"))
    #expect(fixed.text == "\(info.id) | too big | docs/findings.md | 2031-01-01\n")
    #expect(fixed.changes.count == 2)
  }

  private var known: String { "# a comment\n\(info.id) | too big | docs/findings.md | 2030-01-01\n" }

  private func rewritten(_ text: String, _ results: CaseResult...) throws -> KnownFailures.Rewrite {
    try KnownFailures.rewritten(text, results: results, ids: [info.id], file: "known.txt", today: "2026-06-01", expires: "2031-01-01")
  }
}
