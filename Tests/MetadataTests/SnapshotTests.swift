import Metadata
import Protocols
import Synchronization
import TestSupport
import Testing

struct SnapshotTests {
  @Test func lifeOfASnapshot() async throws {
    let fixture = try Fixture()
    let snapshots = try fixture.snapshots()
    let mounts = try await snapshots.prepare("extract 1/x", parent: nil, labels: ["k": "v"])
    #expect(mounts.first?.source == "/backend/default/1/extract 1/x")
    #expect(try await snapshots.mounts("extract 1/x") == mounts)
    #expect(try await snapshots.usage("extract 1/x") == SnapshotUsage(inodes: 3, size: 4096))
    fixture.clock.advance(3)
    try await snapshots.commit("base", key: "extract 1/x", labels: ["l": "w"])
    let info = try await snapshots.stat("base")
    #expect(info.kind == .committed && info.labels == ["l": "w"] && info.createdAt == fixture.clock.now() && info.parent == nil)
    await expectError(.notFound, "snapshot extract 1/x") { _ = try await snapshots.stat("extract 1/x") }
    await expectError(.failedPrecondition) { _ = try await snapshots.mounts("base") }
    let view = try await snapshots.view("v", parent: "base", labels: [:])
    #expect(view.first?.options == ["ro"])
    #expect(try await snapshots.stat("v").parent == "base")
    #expect(fixture.overlay.keys == ["default/2/base", "default/3/v"])
    await expectError(.failedPrecondition) { try await snapshots.remove("base") }
    try await snapshots.remove("v")
    try await snapshots.remove("base")
    #expect(try await fixture.keys().isEmpty)
    // The files go with a collection.
    #expect(fixture.overlay.keys.count == 2)
    #expect(
      fixture.events.events == [
        .snapshotPrepare(key: "extract 1/x", parent: "", snapshotter: "overlayfs"),
        .snapshotCommit(key: "extract 1/x", name: "base", snapshotter: "overlayfs"),
        .snapshotRemove(key: "v", snapshotter: "overlayfs"), .snapshotRemove(key: "base", snapshotter: "overlayfs"),
      ])
  }

  @Test func everyRuleHasItsError() async throws {
    let fixture = try Fixture()
    let snapshots = try fixture.snapshots()
    try await fixture.layer("base")
    _ = try await snapshots.prepare("a", parent: "base", labels: [:])
    _ = try await snapshots.view("v", parent: "base", labels: [:])
    await expectError(.alreadyExists, "snapshot a") { _ = try await snapshots.prepare("a", parent: nil, labels: [:]) }
    await expectError(.alreadyExists, "snapshot a") { _ = try await snapshots.view("a", parent: nil, labels: [:]) }
    await expectError(.notFound) { _ = try await snapshots.prepare("b", parent: "none", labels: [:]) }
    await expectError(.invalidArgument) { _ = try await snapshots.prepare("b", parent: "a", labels: [:]) }
    await expectError(.invalidArgument) { _ = try await snapshots.prepare("", parent: nil, labels: [:]) }
    await expectError(.invalidArgument) { _ = try await snapshots.prepare("b", parent: nil, labels: ["": "x"]) }
    await expectError(.alreadyExists, "snapshot base") { try await snapshots.commit("base", key: "a", labels: [:]) }
    await expectError(.notFound, "snapshot none") { try await snapshots.commit("new", key: "none", labels: [:]) }
    await expectError(.failedPrecondition) { try await snapshots.commit("new", key: "v", labels: [:]) }
    await expectError(.invalidArgument) { try await snapshots.commit("", key: "a", labels: [:]) }
    await expectError(.notFound, "snapshot none") { try await snapshots.remove("none") }
    await expectError(.notFound, "snapshot none") { _ = try await snapshots.usage("none") }
    #expect(try await fixture.keys() == ["base", "a", "v"])
    #expect(fixture.overlay.keys.count == 3)
  }

  @Test func namespacesAndSnapshottersAreApart() async throws {
    let fixture = try Fixture()
    try await fixture.layer("base")
    await expectError(.notFound) { _ = try await fixture.snapshots(in: "other").stat("base") }
    await expectError(.notFound) { _ = try await fixture.snapshots(name: "native").stat("base") }
    await expectError(.notFound) { _ = try await fixture.snapshots(in: "other").prepare("a", parent: "base", labels: [:]) }
    _ = try await fixture.snapshots(in: "other").prepare("base", parent: nil, labels: [:])
    #expect(fixture.overlay.keys == ["default/2/base", "other/3/base"])
  }

  @Test func onlyTheBackendsLabelsReachTheBackend() async throws {
    let fixture = try Fixture()
    let snapshots = try fixture.snapshots()
    let labels = ["containerd.io/snapshot/x": "1", "containerd.io/snapshot.ref": "r", "containerd.io/gc.root": "now", "mine": "2"]
    _ = try await snapshots.prepare("a", parent: nil, labels: labels)
    #expect(try await snapshots.stat("a").labels == labels)
    #expect(
      try await fixture.overlay.stat("default/1/a").labels == ["containerd.io/snapshot/x": "1", "containerd.io/snapshot.ref": "r"])
    let info = try await snapshots.update(SnapshotInfo(kind: .active, name: "a", labels: ["mine": ""]), fields: ["labels.mine"])
    #expect(info.labels.count == 3 && fixture.overlay.state.withLock { $0.updates } == 0)
    _ = try await snapshots.update(
      SnapshotInfo(kind: .active, name: "a", labels: ["containerd.io/snapshot/x": "9"]), fields: ["labels.containerd.io/snapshot/x"])
    #expect(try await fixture.overlay.stat("default/1/a").labels["containerd.io/snapshot/x"] == "9")
    await expectError(.invalidArgument) { _ = try await snapshots.update(info, fields: ["parent"]) }
    await expectError(.notFound) { _ = try await snapshots.update(SnapshotInfo(kind: .active, name: "x"), fields: .all) }
    let found = Collected<SnapshotInfo>()
    try await snapshots.walk(FilterSet(parsing: ["kind==active,labels.\"containerd.io/snapshot.ref\"==r"])) { await found.append($0) }
    #expect(await found.items.map(\.name) == ["a"])
  }

  @Test func ofManyPreparesOfOneKeyOneWins() async throws {
    let fixture = try Fixture()
    let snapshots = try fixture.snapshots()
    let won = await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<20 { group.addTask { (try? await snapshots.prepare("k", parent: nil, labels: [:])) != nil } }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(won == 1)
    // The losers left nothing behind.
    #expect(fixture.overlay.keys.count == 1)
    #expect(try await fixture.store.verify().isEmpty)
  }

  @Test func ofManyCommitsToOneNameOneWins() async throws {
    let fixture = try Fixture()
    let snapshots = try fixture.snapshots()
    for index in 0..<10 { _ = try await snapshots.prepare("k\(index)", parent: nil, labels: [:]) }
    let won = await withTaskGroup(of: Bool.self) { group in
      for index in 0..<10 { group.addTask { (try? await snapshots.commit("base", key: "k\(index)", labels: [:])) != nil } }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(won == 1)
    #expect(try await fixture.keys().count == 10)
    #expect(try await fixture.store.verify().isEmpty)
  }

  @Test func aLeaseFollowsTheCommit() async throws {
    let fixture = try Fixture()
    try await fixture.lease("l")
    try await fixture.lease("other")
    _ = try await fixture.snapshots("l").prepare("a", parent: nil, labels: [:])
    try await fixture.store.leases(in: fixture.scope()).addResource(LeaseResource(type: "snapshots/overlayfs", id: "a"), to: "other")
    try await fixture.snapshots("l").commit("base", key: "a", labels: [:])
    #expect(try await fixture.held(by: "l") == ["snapshots/overlayfs base"])
    #expect(try await fixture.held(by: "other") == ["snapshots/overlayfs base"])
  }

  @Test func anInterruptedCommitIsFinished() async throws {
    let fixture = try Fixture()
    try await fixture.lease("l")
    _ = try await fixture.snapshots("l").prepare("a", parent: nil, labels: [:])
    fixture.overlay.state.withLock { $0.losesAnswers = true }
    await expectError(.unavailable) { try await fixture.snapshots("l").commit("base", key: "a", labels: ["k": "v"]) }
    fixture.overlay.state.withLock { $0.losesAnswers = false }
    #expect(try await fixture.store.verify().map(\.id) == ["a"])
    let restarted = try fixture.reopened()
    try await restarted.collectGarbage()
    let info = try await restarted.snapshotter("overlayfs", in: fixture.scope()).stat("base")
    #expect(info.kind == .committed && info.labels == ["k": "v"])
    #expect(try await fixture.held(by: "l") == ["snapshots/overlayfs base"])
    #expect(try await restarted.verify().isEmpty && fixture.overlay.keys == ["default/2/base"])
    #expect(fixture.events.topics.last == "/snapshot/commit")
  }

  /// The snapshot that is committed must not be lost to one that takes its new name meanwhile.
  @Test func aNameThatACommitIsAboutToGiveIsTaken() async throws {
    let fixture = try Fixture()
    let snapshots = try fixture.snapshots()
    _ = try await snapshots.prepare("a", parent: nil, labels: [:])
    let faster = Mutex<Task<[Mount], any Error>?>(nil)
    fixture.overlay.state.withLock {
      $0.duringCommit = {
        let task = Task { try await snapshots.prepare("base", parent: nil, labels: [:]) }
        faster.withLock { $0 = task }
        try await Task.sleep(for: .milliseconds(100))
      }
    }
    try await snapshots.commit("base", key: "a", labels: [:])
    await expectError(.alreadyExists, "snapshot base") { _ = try await faster.withLock { $0 }?.value }
    #expect(try await snapshots.stat("base").kind == .committed)
    #expect(try await fixture.keys() == ["base"] && fixture.overlay.keys == ["default/2/base"])
  }

  /// Of a snapshot whose commit is under way: nobody says that it is not there, and then that it is.
  @Test func whoAsksForMountsDuringACommitIsAnsweredAfterIt() async throws {
    let fixture = try Fixture()
    let snapshots = try fixture.snapshots()
    _ = try await snapshots.prepare("a", parent: nil, labels: [:])
    let asked = Mutex<Task<(ContainerdError?, Set<String>), any Error>?>(nil)
    fixture.overlay.state.withLock {
      $0.afterCommit = { _ in
        let task = Task { () async throws -> (ContainerdError?, Set<String>) in
          var failure: ContainerdError?
          do { _ = try await snapshots.mounts("a") } catch let error as ContainerdError { failure = error }
          return (failure, try await fixture.keys())
        }
        asked.withLock { $0 = task }
        try await Task.sleep(for: .milliseconds(300))
      }
    }
    try await snapshots.commit("base", key: "a", labels: [:])
    let (failure, keys) = try #require(try await asked.withLock { $0 }?.value)
    #expect(failure?.code == .notFound && keys == ["base"], "\(String(describing: failure)), then \(keys)")
  }

  @Test(arguments: ["prepare", "commit"]) func anInterruptedCommitComesBeforeWhoWantsItsName(_ call: String) async throws {
    let fixture = try Fixture()
    let snapshots = try fixture.snapshots()
    for key in ["a", "b"] { _ = try await snapshots.prepare(key, parent: nil, labels: [:]) }
    fixture.overlay.state.withLock { $0.losesAnswers = true }
    await expectError(.unavailable) { try await snapshots.commit("base", key: "a", labels: ["k": "v"]) }
    fixture.overlay.state.withLock { $0.losesAnswers = false }
    await expectError(.alreadyExists, "snapshot base") {
      if call == "prepare" {
        _ = try await snapshots.prepare("base", parent: nil, labels: [:])
      } else {
        try await snapshots.commit("base", key: "b", labels: [:])
      }
    }
    #expect(try await snapshots.stat("base").labels == ["k": "v"])
    #expect(try await fixture.keys() == ["base", "b"])
  }

  @Test func aCommitThatFailedLeavesTheSnapshotActive() async throws {
    let fixture = try Fixture()
    let snapshots = try fixture.snapshots()
    _ = try await snapshots.prepare("a", parent: nil, labels: [:])
    try await fixture.overlay.commit("stolen", key: "default/1/a", labels: [:])
    await expectError(.notFound, "snapshot a") { try await snapshots.commit("base", key: "a", labels: [:]) }
    #expect(try await snapshots.stat("a").kind == .active)
    #expect(try await fixture.store.verify().map(\.backendID) == ["default/1/a"])
  }
}
