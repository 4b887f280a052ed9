import Metadata
import Protocols
import Synchronization
import TestSupport
import Testing

struct GarbageTests {
  @Test func whatNothingHoldsGoes() async throws {
    let fixture = try Fixture()
    let digest = try await fixture.blob("one")
    try await fixture.layer("base")
    try await fixture.layer("top", parent: "base")
    fixture.events.clear()
    let report = try await fixture.store.collectGarbage()
    #expect(report == GarbageReport(content: 1, snapshots: 2, leases: 0))
    #expect(fixture.content.digests.isEmpty && fixture.overlay.keys.isEmpty)
    // The backend's keys carry numbers that mean nothing: `default/5/top`.
    #expect(fixture.overlay.state.withLock { $0.removed.map { $0.split(separator: "/").last } } == ["top", "base"])
    #expect(fixture.overlay.state.withLock { $0.cleanups } == 1)
    #expect(
      Set(fixture.events.events) == [
        .contentDelete(digest: digest), .snapshotRemove(key: "base", snapshotter: "overlayfs"), .snapshotRemove(key: "top", snapshotter: "overlayfs"),
      ])
    #expect(try await fixture.store.collectGarbage() == GarbageReport())
  }

  @Test func everyRootHolds() async throws {
    let fixture = try Fixture()
    try await fixture.lease("l")
    let byImage = try await fixture.blob("image target")
    try await fixture.image("i", byImage)
    let byLease = try await fixture.blob("leased", lease: "l")
    let byLabel = try await fixture.blob("rooted", labels: ["containerd.io/gc.root": "2026-01-01T00:00:00Z"])
    let byNothing = try await fixture.blob("garbage", labels: ["containerd.io/gc.root": ""])
    try await fixture.layer("by-label", labels: ["containerd.io/gc.root": "1"])
    try await fixture.layer("by-lease", lease: "l")
    try await fixture.layer("by-container")
    _ = try await fixture.snapshots().prepare("c", parent: "by-container", labels: [:])
    _ = try await fixture.store.containers(in: fixture.scope()).create(Fixture.container("c"))
    try await fixture.layer("by-nothing")
    try await fixture.store.collectGarbage()
    #expect(try await fixture.digests() == [byImage, byLease, byLabel])
    #expect(fixture.content.digests == [byImage, byLease, byLabel] && !fixture.content.digests.contains(byNothing))
    #expect(try await fixture.keys() == ["by-label", "by-lease", "by-container", "c"])
    // Roots gone, all gone.
    try await fixture.store.images(in: fixture.scope()).delete("i")
    try await fixture.store.leases(in: fixture.scope()).delete("l")
    try await fixture.store.containers(in: fixture.scope()).delete("c")
    try await fixture.store.collectGarbage()
    #expect(try await fixture.digests() == [byLabel])
    #expect(try await fixture.keys() == ["by-label"])
  }

  @Test func everyEdgeIsFollowed() async throws {
    let fixture = try Fixture()
    let layer = try await fixture.blob("layer")
    let config = try await fixture.blob("config")
    let referrer = try await fixture.blob("referrer")
    let unrelated = try await fixture.blob("unrelated")
    try await fixture.layer("base")
    try await fixture.layer("chain", parent: "base")
    try await fixture.layer("other", snapshotter: "native")
    let configured = try await fixture.blob("config 2", labels: ["containerd.io/gc.ref.snapshot.overlayfs": "chain"])
    let manifest = try await fixture.blob(
      "manifest",
      labels: [
        "containerd.io/gc.ref.content.config": config.description, "containerd.io/gc.ref.content/l.0": layer.description,
        "containerd.io/gc.ref.content": referrer.description, "containerd.io/gc.ref.contents": unrelated.description,
        "containerd.io/gc.ref.content.config2": configured.description, "containerd.io/gc.ref.snapshot.native/1": "other",
      ])
    try await fixture.image("i", manifest)
    try await fixture.store.collectGarbage()
    #expect(try await fixture.digests() == [manifest, layer, config, referrer, configured])
    #expect(try await fixture.keys() == ["base", "chain"])
    #expect(try await fixture.keys(name: "native") == ["other"])
    // A reference that hangs in the air, and a circle, do no harm.
    _ = try await fixture.store.content(in: fixture.scope()).update(
      ContentInfo(digest: layer, labels: ["containerd.io/gc.ref.content": manifest.description, "containerd.io/gc.ref.content.x": "gone"]), fields: .all)
    #expect(try await fixture.store.collectGarbage() == GarbageReport())
    try await fixture.store.images(in: fixture.scope()).delete("i")
    try await fixture.store.collectGarbage()
    #expect(try await fixture.digests().isEmpty && fixture.overlay.keys.isEmpty && fixture.native.keys.isEmpty)
  }

  @Test func referencesStayInTheirNamespace() async throws {
    let fixture = try Fixture()
    let digest = try await fixture.blob("one", in: "a")
    try await fixture.image("i", digest, in: "b")
    try await fixture.store.collectGarbage()
    #expect(try await fixture.digests(in: "a").isEmpty && fixture.content.digests.isEmpty)
  }

  @Test func leasesExpire() async throws {
    let fixture = try Fixture()
    let soon = fixture.clock.now().advanced(bySeconds: 60).description
    try await fixture.lease("soon", labels: ["containerd.io/gc.expire": soon])
    try await fixture.lease("garbled", labels: ["containerd.io/gc.expire": "tomorrow"])
    let one = try await fixture.blob("one", lease: "soon")
    let two = try await fixture.blob("two", lease: "garbled")
    fixture.clock.advance(60)
    #expect(try await fixture.store.collectGarbage() == GarbageReport())
    fixture.clock.advance(1)
    #expect(try await fixture.store.collectGarbage() == GarbageReport(content: 1, snapshots: 0, leases: 1))
    #expect(try await fixture.digests() == [two] && one != two)
    #expect(try await fixture.store.leases(in: fixture.scope()).list(.all).map(\.id) == ["garbled"])
  }

  @Test func imagesExpire() async throws {
    let fixture = try Fixture()
    let past = ["containerd.io/gc.expire": fixture.clock.now().description]
    let one = try await fixture.blob("one")
    let two = try await fixture.blob("two")
    try await fixture.image("held", one, labels: past)
    try await fixture.image("gone", two, labels: past)
    try await fixture.lease("l")
    try await fixture.store.leases(in: fixture.scope()).addResource(LeaseResource(type: "images", id: "held"), to: "l")
    fixture.clock.advance(1)
    fixture.events.clear()
    try await fixture.store.collectGarbage()
    #expect(try await fixture.store.images(in: fixture.scope()).list(.all).map(\.name) == ["held"])
    #expect(try await fixture.digests() == [one])
    #expect(fixture.events.events.contains(.imageDelete(name: "gone")))
  }

  @Test func aFlatLeaseHoldsOnlyWhatItNames() async throws {
    let fixture = try Fixture()
    try await fixture.lease("flat", labels: ["containerd.io/gc.flat": "1"])
    let layer = try await fixture.blob("layer")
    let manifest = try await fixture.blob("manifest", labels: ["containerd.io/gc.ref.content.l": layer.description], lease: "flat")
    try await fixture.layer("base")
    try await fixture.layer("extra")
    try await fixture.layer("top", parent: "base", labels: ["containerd.io/gc.ref.snapshot.overlayfs": "extra"], lease: "flat")
    try await fixture.store.collectGarbage()
    #expect(try await fixture.digests() == [manifest])
    #expect(try await fixture.keys() == ["base", "top"])
  }

  @Test func aLeaseRefersLikeAnyObject() async throws {
    let fixture = try Fixture()
    try await fixture.layer("base")
    try await fixture.lease("l", labels: ["containerd.io/gc.ref.snapshot.overlayfs": "base"])
    try await fixture.store.collectGarbage()
    #expect(try await fixture.keys() == ["base"])
  }

  @Test func ingestsLiveADayOrAsLongAsTheirLease() async throws {
    let fixture = try Fixture()
    try await fixture.lease("l")
    for lease in [nil, "l"] {
      let writer = try await fixture.store.content(in: fixture.scope(lease)).writer(ref: "r-\(lease ?? "none")", expected: IngestExpectation())
      try await writer.write([1], at: nil)
      await writer.close()
    }
    let content = try fixture.store.content(in: fixture.scope())
    fixture.clock.advance(24 * 3600)
    try await fixture.store.collectGarbage()
    #expect(try await content.statuses(.all).map(\.ref) == ["r-l", "r-none"])
    fixture.clock.advance(1)
    try await fixture.store.collectGarbage()
    #expect(try await content.statuses(.all).map(\.ref) == ["r-l"])
    #expect(fixture.content.refs == ["default/1/r-l"] || fixture.content.refs == ["default/2/r-l"])
    try await fixture.store.leases(in: fixture.scope()).delete("l")
    try await fixture.store.collectGarbage()
    #expect(try await content.statuses(.all).isEmpty && fixture.content.refs.isEmpty)
  }

  @Test func whatACrashLeftInTheBackendsGoes() async throws {
    let fixture = try Fixture()
    let orphan = try await fixture.content.writer(ref: "default/77/lost", expected: IngestExpectation())
    try await orphan.write([1, 2], at: nil)
    let blob = try await fixture.content.writer(ref: "x", expected: IngestExpectation())
    try await blob.write([3], at: nil)
    _ = try await blob.commit(IngestExpectation(), labels: [:])
    _ = try await fixture.overlay.prepare("default/78/lost", parent: nil, labels: [:])
    try await fixture.store.collectGarbage()
    #expect(fixture.content.refs.isEmpty && fixture.content.digests.isEmpty && fixture.overlay.keys.isEmpty)
  }

  @Test func anIngestThatTheBackendLostIsForgotten() async throws {
    let fixture = try Fixture()
    try await fixture.lease("l")
    let writer = try await fixture.store.content(in: fixture.scope("l")).writer(ref: "r", expected: IngestExpectation())
    await writer.close()
    fixture.content.state.withLock { $0.ingests = [:] }
    try await fixture.reopened().collectGarbage()
    #expect(try await fixture.held(by: "l").isEmpty)
  }

  @Test func aFailingBackendStopsNobodyElse() async throws {
    let fixture = try Fixture()
    let stuck = try await fixture.blob("stuck")
    try await fixture.blob("loose")
    try await fixture.layer("base")
    try await fixture.layer("busy", parent: "base")
    try await fixture.layer("free", parent: "base")
    try await fixture.layer("elsewhere", snapshotter: "native")
    fixture.overlay.state.withLock { $0.failingRemoval = "busy" }
    _ = fixture.content.state.withLock { $0.failingDeletes.insert(stuck) }
    await expectError(.internalError) { try await fixture.store.collectGarbage() }
    #expect(fixture.content.digests == [stuck] && fixture.native.keys.isEmpty)
    #expect(Set(fixture.overlay.keys.map { $0.split(separator: "/").last ?? "" }) == ["base", "busy"])
    #expect(try await fixture.digests().isEmpty)
    #expect(try await fixture.keys().isEmpty)
    fixture.overlay.state.withLock { $0.failingRemoval = nil }
    fixture.content.state.withLock { $0.failingDeletes = [] }
    try await fixture.store.collectGarbage()
    #expect(fixture.content.digests.isEmpty && fixture.overlay.keys.isEmpty)
  }

  @Test func collectionsAmongWritersTakeNothingThatIsLeased() async throws {
    let fixture = try Fixture()
    try await fixture.lease("l")
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<4 {
        group.addTask {
          for round in 0..<15 {
            let name = "\(index)-\(round)"
            try await fixture.blob(name, lease: "l")
            try await fixture.layer(name, parent: round == 0 ? nil : "\(index)-\(round - 1)", lease: "l")
          }
        }
      }
      group.addTask { for _ in 0..<30 { try await fixture.store.collectGarbage() } }
      try await group.waitForAll()
    }
    #expect(try await fixture.digests().count == 60)
    #expect(try await fixture.keys().count == 60)
    #expect(try await fixture.store.verify().isEmpty)
    try await fixture.store.leases(in: fixture.scope()).delete("l")
    #expect(try await fixture.store.collectGarbage() == GarbageReport(content: 60, snapshots: 60, leases: 0))
    #expect(fixture.overlay.keys.isEmpty && fixture.content.digests.isEmpty)
  }

  @Test func verifyNamesWhatIsMissing() async throws {
    let fixture = try Fixture()
    let digest = try await fixture.blob("one")
    try await fixture.layer("base")
    let backendKey = fixture.overlay.keys.first
    #expect(try await fixture.store.verify().isEmpty)
    fixture.content.state.withLock { $0.blobs = [:] }
    fixture.overlay.state.withLock { $0.snapshots = [:] }
    let missing = try await fixture.store.verify()
    #expect(missing.map(\.kind) == ["content", "snapshots/overlayfs"])
    #expect(missing.map(\.id) == [digest.description, "base"] && missing.map(\.namespace) == ["default", "default"])
    #expect(missing.last?.backendID == backendKey && backendKey != nil)
  }
}
