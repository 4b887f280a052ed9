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

  @Test(arguments: ["only-an-id", "id | symptom | link", "id | symptom | link | soon", " | s | l | 2030-01-01"]) func aBadLineIsNamed(_ line: String) {
    do {
      _ = try KnownFailures(parsing: "\n" + line, file: "known.txt")
      Issue.record("it was taken: \(line)")
    } catch { #expect("\(error)".contains("known.txt:2")) }
  }

  @Test func fixingDropsWhatPassesAndEntersWhatFails() throws {
    let text = "# a comment\n\(info.id) | too big | docs/findings.md | 2030-01-01\n"
    let passed = try KnownFailures.fixed(text, results: [result(.unexpectedPass)], file: "known.txt", expires: "2031-01-01")
    #expect(passed == "# a comment\n")
    let entered = try KnownFailures.fixed("# a comment\n", results: [result(.fail, "one | two")], file: "known.txt", expires: "2031-01-01")
    #expect(entered == "# a comment\n\(info.id) | one / two | to be explained | 2031-01-01\n")
    let changed = try KnownFailures.fixed(text, results: [result(.fail, "negative")], file: "known.txt", expires: "2031-01-01")
    #expect(changed == "# a comment\n\(info.id) | negative | docs/findings.md | 2030-01-01\n")
  }
}
