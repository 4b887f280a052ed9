import ConformanceKit
import ConformanceMutants
import ConformanceSuites
import ConformanceTargets
import Testing

/// What the catalogue promises of itself.
@Suite struct CatalogueTests {
  @Test func everyIdIsTakenOnce() {
    let ids = Catalogue.cases.map(\.id)
    #expect(ids.count == Set(ids).count)
    let mutants = MutantCatalogue.all.map(\.id)
    #expect(mutants.count == Set(mutants).count)
  }

  @Test func everyCaseSaysWhomItsBreachHurts() {
    for contract in Catalogue.cases { #expect(!contract.info.why.isEmpty, "\(contract.id) does not say why it matters") }
    let ids = Set(Catalogue.cases.map(\.id))
    for id in Reasons.all.keys { #expect(ids.contains(id), "a reason is given for \(id), which no case is") }
  }

  /// Families of ids that are no statements': those of the lists that cases were collected in. They may stand beside a statement, never in its place.
  private static let collections: Set<Substring> = ["CG", "CS", "FE", "LB", "RC", "SH", "SR", "TA"]

  @Test func everyCaseCitesAStatement() {
    for info in Catalogue.cases.map(\.info) {
      #expect(info.statements.contains { Statement.with(id: $0) != nil }, "\(info.id) cites no numbered statement: \(info.source)")
    }
  }

  @Test func everyStatementThatIsCitedExists() {
    let families = Set(Statement.all.map { $0.id.prefix { $0 != "-" } })
    #expect(Self.collections.isDisjoint(with: families))
    for info in Catalogue.cases.map(\.info) {
      for id in info.statements where !Self.collections.contains(id.prefix { $0 != "-" }) {
        #expect(Statement.with(id: id) != nil, "\(info.id) cites \(id), which no statement is")
      }
    }
  }

  @Test func everyStatementThatConcernsTheSuiteIsCited() {
    let cited = Set(Catalogue.cases.flatMap(\.info.statements))
    let idle = Statement.all.filter { $0.exempt == nil && !cited.contains($0.id) }.map(\.id)
    #expect(idle.isEmpty, "no case checks \(idle.joined(separator: ", "))")
  }

  @Test func everyMutantNamesCasesThatExist() {
    for mutant in MutantCatalogue.all {
      for pattern in mutant.kills {
        let glob = Glob(pattern)
        #expect(Catalogue.cases.contains { glob.matches($0.id) }, "\(mutant.id) wants to be killed by \(pattern), which no case is")
      }
    }
  }

  /// A case that is meant to notice no fault is one that nobody has seen fail.
  @Test func everyMustCaseIsMeantToNoticeAMutant() {
    let globs = MutantCatalogue.all.flatMap(\.kills).map(Glob.init)
    let idle = Catalogue.cases.filter { contract in contract.info.level == .must && !globs.contains { $0.matches(contract.id) } }.map(\.id)
    #expect(idle.isEmpty, "in no mutant's list of kills: \(idle.joined(separator: ", "))")
  }

  @Test func globsMatchAsPeopleExpect() {
    #expect(Glob("snapshots.*").matches("snapshots.prepare.active"))
    #expect(Glob("snapshots.prepare").matches("snapshots.prepare.active"))
    #expect(!Glob("snapshots.prep").matches("snapshots.prepare.active"))
    #expect(Glob("*.existing-?ey").matches("snapshots.prepare.existing-key"))
    #expect(!Glob("a?c").matches("ac"))
  }
}
