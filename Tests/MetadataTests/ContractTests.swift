import ConformanceSuites
import Hashing
import InMemoryFakes
import Metadata
import Protocols
import TestSupport
import Testing

/// The metadata store on SQLite over the fakes: the contracts of its own, and those of the content and the snapshotters that it hands out.
@Suite struct MetadataContractTests {
  private let scratch = ScratchDirectory("metadata-contract")

  private let events = InMemoryEventExchange()

  private func store(_ clock: TestClock) throws -> SQLiteMetadataStore {
    try SQLiteMetadataStore(
      path: scratch.path + "/meta.db", content: InMemoryContentStore(), snapshotters: ["overlayfs": InMemorySnapshotter()], events: events,
      now: clock.now)
  }

  @Test(arguments: MetadataSuite.cases) func metadata(_ contract: ContractCase<MetadataSubject>) async throws {
    let clock = TestClock()
    try await contract.run(
      on: MetadataSubject(store: store(clock), snapshotter: "overlayfs", published: { [events] in events.published }, now: clock.now) {
        clock.advance($0)
      } digest: {
        Digest.of($0)
      })
  }

  @Test(arguments: ContentStoreSuite.cases) func content(_ contract: ContractCase<ContentSubject>) async throws {
    let store = try store(TestClock(follows: true))
    try await contract.run(on: ContentSubject(store: store.content(in: Scope(namespace: "n"))) { Digest.of($0, $1) })
  }

  /// What a namespace hands out is not its to close, and has no files of its own.
  @Test(arguments: SnapshotterSuite.cases.filter { $0.needs.isDisjoint(with: [.files, .closing]) }) func snapshots(
    _ contract: ContractCase<SnapshotSubject>
  ) async throws {
    let store = try store(TestClock(follows: true))
    try await contract.run(on: SnapshotSubject(snapshotter: store.snapshotter("overlayfs", in: Scope(namespace: "n"))))
  }
}
