import ConformanceKit
import ConformanceSuites
import ConformanceTargets
import Testing

/// Which cases a selection means.
@Suite struct SelectionTests {
  private func ids(_ only: [String] = [], without: [String] = [], shard: (Int, Int) = (1, 1)) throws -> [String] {
    try Selection(only: only, without: without, shard: (shard.0, shard.1)).choose(from: Catalogue.cases).map(\.id)
  }

  @Test func nothingSaidMeansEverything() throws { #expect(try ids().count == Catalogue.cases.count) }

  @Test func anIdMeansTheCaseAndWhatIsBelowIt() throws {
    #expect(try ids(["snapshots.prepare.existing-key"]) == ["snapshots.prepare.existing-key"])
    let below = try ids(["snapshots.prepare"])
    #expect(below.count > 3 && below.allSatisfy { $0.hasPrefix("snapshots.prepare.") })
  }

  @Test func termsJoinedByPlusMustAllHold() throws {
    let both = try ids(["level:MUST+statement:SNAP-05"])
    #expect(both.contains("snapshots.prepare.existing-key"))
    #expect(both.count < (try ids(["level:MUST"])).count)
  }

  @Test func whatIsSkippedIsNotThere() throws {
    let rest = try ids(["group:content-store"], without: ["content.commit"])
    #expect(!rest.isEmpty && !rest.contains { $0.hasPrefix("content.commit.") })
  }

  @Test func shardsAreEverythingAndDisjoint() throws {
    let shards = try (1...3).map { try ids(shard: ($0, 3)) }
    #expect(shards.flatMap { $0 }.sorted() == (try ids()).sorted())
    #expect(Set(shards[0]).isDisjoint(with: shards[1]))
  }

  @Test(arguments: ["colour:red", "group:no-such-chapter", "tag:none", "snapshots.prepare.existing-kye", "level:HIGH", "statement:NOPE", "thread:foo#1"])
  func whatCannotBeMeantIsRefused(_ term: String) {
    #expect(throws: SuiteError.self) { try ids([term]) }
  }

  @Test func aShardOutsideItsRangeIsRefused() {
    #expect(throws: SuiteError.self) { try ids(shard: (4, 3)) }
    #expect(throws: SuiteError.self) { try ids(shard: (0, 3)) }
  }
}
