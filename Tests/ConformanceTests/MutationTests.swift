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

  private func matrix(
    _ states: [MutantVerdict.State], must: Bool = false, control: MutantVerdict.State = .green, alarms: [CaseResult] = []
  ) -> MutationReport {
    func one(_ id: String, _ state: MutantVerdict.State, control: Bool) -> MutantVerdict {
      var verdict = MutantVerdict(
        id: id, sentence: "a fault", group: .content, base: "inproc:fake", control: control, state: state, killers: [], others: [], ran: 1,
        byTimeoutOnly: false, detail: "", seconds: 0)
      verdict.must = must
      return verdict
    }
    return MutationReport(
      seed: 1, seconds: 0, verdicts: states.enumerated().map { one("M\($0)", $1, control: false) } + [one("C", control, control: true)], falseAlarms: alarms,
      idleMustCases: [])
  }

  @Test func oneOfTwentyMayLiveUnlessAMustCaseIsToKillIt() {
    let killed = [MutantVerdict.State](repeating: .killed, count: 19)
    #expect(matrix(killed + [.survived]).isGreen)
    #expect(!matrix(killed + [.survived], must: true).isGreen)
    #expect(!matrix(Array(killed.dropLast()) + [.survived]).isGreen)
    #expect(matrix(killed + [.survived]).alive.map(\.id) == ["M19"])
  }

  @Test func aRedControlABlamedBackendOrNoMutantIsRed() {
    #expect(!matrix([.killed], control: .falseAlarm).isGreen)
    #expect(!matrix([.killed], alarms: [CaseResult(first, .fail)]).isGreen)
    #expect(!matrix([]).isGreen)
    #expect(matrix([.killed, .notHere]).isGreen)
  }

  @Test func whatPassedOnlyWhenRunAgainIsNotRedButSeen() {
    var result = CaseResult(first, .pass)
    #expect(!result.isRed && !result.isWavering)
    result.earlier = ["fail: a key was lost"]
    #expect(!result.isRed && result.isWavering)
    result.leaks = ["mount /x"]
    #expect(result.isRed && !result.isWavering)
  }
}
