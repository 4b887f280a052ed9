import GRDB
import InMemoryFakes
import Metadata
import Protocols
import Synchronization
import TestSupport
import Testing

/// What a backend has without the client's help gets a name in the metadata: ours, and the model's that it is compared with.
struct RemoteSnapshotTests {
  enum Kind: CaseIterable, Sendable { case sqlite, memory }

  private struct World {
    let scratch = ScratchDirectory("metadata-remote")
    let backend: RemoteBackend
    let store: any MetadataStore

    init(_ kind: Kind, _ backend: RemoteBackend) throws {
      self.backend = backend
      switch kind {
      case .sqlite:
        store = try SQLiteMetadataStore(
          path: scratch.path + "/meta.db", content: ContentBackend(), snapshotters: ["fuse": backend], events: EventRecorder())
      case .memory: store = InMemoryMetadataStore(content: ContentBackend(), snapshotters: ["fuse": backend])
      }
    }

    func snapshots(_ lease: String? = nil, in namespace: String = "default") throws -> any Snapshotter {
      try store.snapshotter("fuse", in: Scope(namespace: namespace, lease: lease))
    }

    func lease(_ id: String, in namespace: String = "default") async throws {
      _ = try await store.leases(in: Scope(namespace: namespace)).create(LeaseRecord(id: id))
    }

    func held(by lease: String, in namespace: String = "default") async throws -> Set<String> {
      Set(try await store.leases(in: Scope(namespace: namespace)).resources(of: lease).map { "\($0.type) \($0.id)" })
    }

    /// Asks for a layer, and is told that it is there.
    func ask(_ layer: String, on parent: String? = nil, labels: Labels = [:], lease: String? = nil, in namespace: String = "default") async throws {
      await expectError(.alreadyExists, "target snapshot \(layer)") {
        _ = try await snapshots(lease, in: namespace).prepare(
          "extract \(layer)", parent: parent, labels: labels.merging(["containerd.io/snapshot.ref": layer]) { $1 })
      }
    }
  }

  @Test(arguments: Kind.allCases) func whatTheBackendHasGetsAName(_ kind: Kind) async throws {
    let world = try World(kind, RemoteBackend(provides: ["layer 1", "layer \"2\\"]))
    try await world.lease("l")
    try await world.ask("layer 1", labels: ["mine": "1", "containerd.io/snapshot/cri.image-ref": "r/i:1"], lease: "l")
    try await world.ask("layer \"2\\", on: "layer 1", lease: "l")
    let lower = try await world.snapshots().stat("layer 1")
    #expect(lower.kind == .committed && lower.parent == nil)
    #expect(
      lower.labels == ["mine": "1", "containerd.io/snapshot/cri.image-ref": "r/i:1", "containerd.io/snapshot.ref": "layer 1"])
    #expect(try await world.snapshots().stat("layer \"2\\").parent == "layer 1")
    // Of the labels the backend saw its own.
    #expect(
      try await world.backend.stat("remote layer 1 on nothing").labels
        == ["containerd.io/snapshot/cri.image-ref": "r/i:1", "containerd.io/snapshot.ref": "layer 1"])
    // The lease holds the layers, and not the keys that were never made.
    #expect(try await world.held(by: "l") == ["snapshots/fuse layer 1", "snapshots/fuse layer \"2\\"])
    await expectError(.notFound) { _ = try await world.snapshots().stat("extract layer 1") }
    _ = try await world.store.collectGarbage()
    // They stand: something can be made on top.
    _ = try await world.snapshots("l").prepare("container", parent: "layer \"2\\", labels: [:])
    #expect(world.backend.base.keys.count == 3)
  }

  @Test(arguments: Kind.allCases) func namespacesShareIt(_ kind: Kind) async throws {
    let world = try World(kind, RemoteBackend(provides: ["layer"]))
    for namespace in ["default", "other"] {
      try await world.lease("l", in: namespace)
      try await world.ask("layer", lease: "l", in: namespace)
    }
    #expect(world.backend.base.keys == ["remote layer on nothing"])
    try await world.snapshots().remove("layer")
    _ = try await world.store.collectGarbage()
    #expect(world.backend.base.keys == ["remote layer on nothing"])
    #expect(try await world.snapshots(in: "other").stat("layer").kind == .committed)
    try await world.snapshots(in: "other").remove("layer")
    _ = try await world.store.collectGarbage()
    #expect(world.backend.base.keys.isEmpty)
  }

  @Test(arguments: Kind.allCases) func whatHasANameIsNotAskedForAgain(_ kind: Kind) async throws {
    let world = try World(kind, RemoteBackend(provides: []))
    try await world.lease("l")
    try await world.lease("second")
    let labels = ["containerd.io/snapshot.ref": "layer"]
    _ = try await world.snapshots("l").prepare("extract", parent: nil, labels: labels)
    try await world.snapshots("l").commit("layer", key: "extract", labels: [:])
    try await world.ask("layer", lease: "second")
    #expect(try await world.held(by: "second") == ["snapshots/fuse layer"])
    #expect(world.backend.base.keys.count == 1)
  }

  @Test(arguments: Kind.allCases) func aBackendThatSaysWhatIsNotSoIsNotBelieved(_ kind: Kind) async throws {
    let world = try World(kind, RemoteBackend(provides: ["base", "layer"], lost: ["lost"], ignoresFilters: true))
    try await world.lease("l")
    try await world.ask("base", lease: "l")
    await expectError(.unknown) { _ = try await world.snapshots("l").prepare("x", parent: "base", labels: ["containerd.io/snapshot.ref": "lost"]) }
    await expectError(.notFound) { _ = try await world.snapshots().stat("lost") }
    try await world.ask("layer", on: "base", lease: "l")
    // In the other namespace nothing is below it.
    try await world.ask("layer", in: "other")
    #expect(try await world.snapshots(in: "other").stat("layer").parent == nil)
    #expect(world.backend.base.keys == ["remote base on nothing", "remote layer on remote base on nothing", "remote layer on nothing"])
    // Nothing is left of what failed.
    #expect(try await world.held(by: "l") == ["snapshots/fuse base", "snapshots/fuse layer"])
  }

  @Test(arguments: Kind.allCases) func aNewKeyThatTheBackendHasIsNoAnswer(_ kind: Kind) async throws {
    let world = try World(kind, RemoteBackend())
    // Whatever number the key gets.
    for number in 0..<5 { _ = try await world.backend.prepare("default/\(number)/a", parent: nil, labels: [:]) }
    await expectError(.unknown) { _ = try await world.snapshots().prepare("a", parent: nil, labels: [:]) }
  }

  @Test func aCollectionLeavesWhatIsNamedMeanwhile() async throws {
    let world = try World(.sqlite, RemoteBackend(provides: ["a"]))
    try await world.ask("a", in: "other")
    _ = try await world.snapshots(in: "zz").prepare("ordinary", parent: nil, labels: [:])
    // Nobody holds them. The ordinary one goes first, and while it does "a" is asked for.
    world.backend.base.state.withLock { state in
      state.duringRemoval = { key in if key.hasPrefix("zz/") { try await world.ask("a") } }
    }
    _ = try await world.store.collectGarbage()
    #expect(world.backend.base.keys == ["remote a on nothing"])
    #expect(try await world.snapshots().stat("a").kind == .committed)
  }

  @Test func manyAskAtOnce() async throws {
    let world = try World(.sqlite, RemoteBackend(provides: ["layer"]))
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<20 { group.addTask { try await world.ask("layer", in: "n\(number % 4)") } }
      try await group.waitForAll()
    }
    for number in 0..<4 { #expect(try await world.snapshots(in: "n\(number)").stat("layer").kind == .committed) }
  }

  @Test func anOlderDatabaseIsBroughtForward() async throws {
    let fixture = try Fixture()
    try await fixture.layer("base")
    _ = try await fixture.snapshots().prepare("a", parent: "base", labels: [:])
    // The commit's answer is lost: its intention stays.
    fixture.overlay.state.withLock { $0.losesAnswers = true }
    await expectError(.unavailable) { try await fixture.snapshots().commit("top", key: "a", labels: [:]) }
    fixture.overlay.state.withLock { $0.losesAnswers = false }
    var configuration = GRDB.Configuration()
    configuration.foreignKeysEnabled = false
    try await DatabaseQueue(path: fixture.path, configuration: configuration).write { db in
      try db.execute(
        sql: """
          DELETE FROM grdb_migrations WHERE identifier LIKE '3 %';
          CREATE TABLE older (
            namespace TEXT NOT NULL REFERENCES namespace(name), snapshotter TEXT NOT NULL, key TEXT NOT NULL, backendKey TEXT NOT NULL,
            parent TEXT NOT NULL, kind TEXT NOT NULL, labels TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL,
            PRIMARY KEY (namespace, snapshotter, key), UNIQUE (snapshotter, backendKey)) WITHOUT ROWID;
          INSERT INTO older SELECT * FROM snapshot;
          DROP TABLE snapshot;
          ALTER TABLE older RENAME TO snapshot;
          CREATE INDEX snapshotByParent ON snapshot (namespace, snapshotter, parent);
          """)
    }
    let store = try fixture.reopened()
    #expect(await store.settleCommits().isEmpty)
    let snapshots = try store.snapshotter("overlayfs", in: fixture.scope())
    #expect(try await snapshots.stat("top").parent == "base")
    await expectError(.failedPrecondition) { try await snapshots.remove("base") }
    let sound = try await DatabaseQueue(path: fixture.path).read { db in
      let unsound = try Row.fetchAll(db, sql: "PRAGMA foreign_key_check").count
      let unique = try String.fetchAll(db, sql: "SELECT sql FROM sqlite_master WHERE name = 'snapshot' AND sql LIKE '%UNIQUE%'").count
      return unsound == 0 && unique == 0
    }
    #expect(sound)
  }
}
