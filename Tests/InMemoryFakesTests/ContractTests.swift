import ConformanceSuites
import Hashing
import InMemoryFakes
import Protocols
import TestSupport
import Testing

/// The fakes are the executable specification: every case holds for them.
@Suite struct FakesContractTests {
  @Test(arguments: ContentStoreSuite.cases.filter(\.isInMemory)) func content(_ contract: ContractCase<ContentSubject>) async throws {
    try await contract.run(on: ContentSubject(store: InMemoryContentStore()) { Digest.of($0, $1) })
  }

  @Test(arguments: SnapshotterSuite.cases.filter(\.isInMemory)) func snapshots(_ contract: ContractCase<SnapshotSubject>) async throws {
    try await contract.run(on: SnapshotSubject(snapshotter: InMemorySnapshotter()))
  }

  @Test(arguments: LayerSuite.cases.filter(\.isInMemory)) func layers(_ contract: ContractCase<LayerSubject>) async throws {
    try await contract.run(
      on: LayerSubject(
        applier: InMemoryLayerApplier(), differ: InMemoryLayerDiffer(), content: InMemoryContentStore(), snapshotter: InMemorySnapshotter()
      ) { Digest.of($0) })
  }

  @Test(arguments: RegistrySuite.cases) func registry(_ contract: ContractCase<RegistrySubject>) async throws {
    let registry = InMemoryRegistry(chunk: 10_000)
    let blob = [UInt8](repeating: 7, count: 100_000) + Array(0..<200)
    let manifest = Array("{}".utf8)
    let mediaType = "application/vnd.oci.image.manifest.v1+json"
    let name = "registry.test/some/image:1"
    try await contract.run(
      on: RegistrySubject(
        resolver: registry, reference: name, target: registry.add(manifest: manifest, mediaType: mediaType, as: name), manifest: manifest,
        blob: registry.add(blob: blob, mediaType: "application/vnd.oci.image.layer.v1.tar"), blobBytes: blob, absent: "registry.test/some/image:2"))
  }

  @Test(arguments: RuntimeSuite.cases) func runtime(_ contract: ContractCase<RuntimeSubject>) async throws {
    let runtime = InMemoryRuntime()
    try await contract.run(
      on: RuntimeSubject(runtime: runtime) { id, program in
        if case .exits(let code) = program { runtime.scriptExit(code, of: id) }
        return TaskCreation(namespace: "default", id: id, spec: TypedValue(typeURL: "spec", value: [1]), rootfs: [])
      } exec: { container, id, program in
        if case .exits(let code) = program { runtime.scriptExit(code, of: container, exec: id) }
        return ExecCreation(id: id, process: TypedValue(typeURL: "process", value: [1]), io: TaskIO())
      })
  }

  @Test(arguments: EventSuite.cases) func events(_ contract: ContractCase<EventSubject>) async throws {
    try await contract.run(on: EventSubject(exchange: InMemoryEventExchange()))
  }
}

/// The metadata store of the fakes, over the fakes.
@Suite struct FakeMetadataContractTests {
  private let events = InMemoryEventExchange()

  private func store(clock: TestClock) -> InMemoryMetadataStore {
    InMemoryMetadataStore(content: InMemoryContentStore(), snapshotters: ["overlayfs": InMemorySnapshotter()], events: events, now: clock.now)
  }

  @Test(arguments: MetadataSuite.cases) func metadata(_ contract: ContractCase<MetadataSubject>) async throws {
    let clock = TestClock()
    try await contract.run(
      on: MetadataSubject(store: store(clock: clock), snapshotter: "overlayfs", published: { [events] in events.published }, now: clock.now) {
        clock.advance($0)
      } digest: {
        Digest.of($0)
      })
  }

  @Test(arguments: ContentStoreSuite.cases) func content(_ contract: ContractCase<ContentSubject>) async throws {
    let store = store(clock: TestClock(follows: true))
    try await contract.run(on: ContentSubject(store: store.content(in: Scope(namespace: "n"))) { Digest.of($0, $1) })
  }

  @Test(arguments: SnapshotterSuite.cases.filter { $0.isInMemory && !$0.needs.contains(.closing) }) func snapshots(
    _ contract: ContractCase<SnapshotSubject>
  ) async throws {
    let store = store(clock: TestClock(follows: true))
    try await contract.run(on: SnapshotSubject(snapshotter: store.snapshotter("overlayfs", in: Scope(namespace: "n"))))
  }
}

extension ContractCase {
  /// What needs no files and no programs.
  var isInMemory: Bool { needs.isDisjoint(with: [.files, .programs]) }
}
