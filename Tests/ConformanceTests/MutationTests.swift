import ConformanceSuites
import ConformanceTargets
import Testing

@testable import ConformanceKit

/// When a mutant counts as killed.
@Suite struct MutationTests {
  private let first = Catalogue.cases[0].info
  private let second = Catalogue.cases[1].info

  private func mutant(kills: [String], symptom: String = "") -> Mutant {
    Mutant("M", "a fault", in: .content, kills: kills, symptom: symptom) { _ in }
  }
  private func verdict(_ mutant: Mutant, _ results: [CaseResult], good: [CaseResult]? = nil) -> MutantVerdict {
    let good = good ?? [CaseResult(first, .pass), CaseResult(second, .pass)]
    return MutationRun.judge(mutant, results: results, good: Dictionary(uniqueKeysWithValues: good.map { ($0.id, $0) }))
  }

  @Test func theIntendedCaseWithTheIntendedWordsKills() {
    let one = verdict(mutant(kills: [first.id], symptom: "lost"), [CaseResult(first, .fail, detail: "a key was lost"), CaseResult(second, .pass)])
    #expect(one.state == .killed)
    #expect(one.killers == [first.id])
  }

  @Test func otherWordsDoNotKill() {
    #expect(verdict(mutant(kills: [first.id], symptom: "lost"), [CaseResult(first, .fail, detail: "no space")]).state == .wrongSymptom)
  }

  @Test func anotherCaseDoesNotKill() {
    let one = verdict(mutant(kills: [first.id]), [CaseResult(first, .pass), CaseResult(second, .fail)])
    #expect(one.state == .survived)
    #expect(one.others == [second.id])
  }

  @Test func anErrorOfTheSuiteDoesNotKill() { #expect(verdict(mutant(kills: [first.id]), [CaseResult(first, .error)]).state == .survived) }

  @Test func aCaseThatIsRedAnywayProvesNothing() {
    #expect(verdict(mutant(kills: [first.id]), [], good: [CaseResult(first, .fail), CaseResult(second, .pass)]).state == .baseRed)
  }

  @Test func aCaseThatCannotRunHereIsSaidSo() {
    #expect(verdict(mutant(kills: [first.id]), [], good: [CaseResult(first, .skip), CaseResult(second, .pass)]).state == .notHere)
  }

  @Test func aControlMustStayGreen() {
    #expect(verdict(mutant(kills: []), [CaseResult(first, .pass)]).state == .green)
    #expect(verdict(mutant(kills: []), [CaseResult(first, .fail)]).state == .falseAlarm)
  }

  @Test func aHangIsAKillThatWantsABetterCase() {
    let one = verdict(mutant(kills: [first.id]), [CaseResult(first, .timeout, detail: "no verdict")])
    #expect(one.state == .killed && one.byTimeoutOnly)
  }
}
