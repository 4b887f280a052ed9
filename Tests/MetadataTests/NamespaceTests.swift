import Metadata
import Protocols
import Testing

struct NamespaceTests {
  @Test func lifeOfANamespace() async throws {
    let fixture = try Fixture()
    let namespaces = fixture.store.namespaces
    _ = try await namespaces.create(NamespaceRecord(name: "b", labels: ["k": "v"]))
    _ = try await namespaces.create(NamespaceRecord(name: "a"))
    #expect(try await namespaces.list().map(\.name) == ["a", "b"])
    await expectError(.alreadyExists, "namespace \"a\"") { _ = try await namespaces.create(NamespaceRecord(name: "a")) }
    await expectError(.notFound, "namespace \"x\"") { _ = try await namespaces.get("x") }
    await expectError(.notFound, "namespace \"x\"") { try await namespaces.delete("x") }
    await expectError(.invalidArgument) { _ = try await namespaces.create(NamespaceRecord(name: "a/b")) }
    await expectError(.invalidArgument) { _ = try await namespaces.create(NamespaceRecord(name: "c", labels: ["": "x"])) }
    try await namespaces.delete("a")
    #expect(fixture.events.topics == ["/namespaces/create", "/namespaces/create", "/namespaces/delete"])
  }

  @Test func labelsFollowTheMask() async throws {
    let fixture = try Fixture()
    let namespaces = fixture.store.namespaces
    _ = try await namespaces.create(NamespaceRecord(name: "n", labels: ["a": "1", "b": "2"]))
    let changed = try await namespaces.update(NamespaceRecord(name: "n", labels: ["a": "", "c": "3"]), fields: ["labels.a", "labels.c"])
    #expect(changed.labels == ["b": "2", "c": "3"])
    #expect(try await namespaces.update(NamespaceRecord(name: "n", labels: ["z": "1"]), fields: .all).labels == ["z": "1"])
    await expectError(.invalidArgument) { _ = try await namespaces.update(NamespaceRecord(name: "n"), fields: ["name"]) }
    #expect(try await namespaces.get("n").labels == ["z": "1"])
    // A client labels a namespace before it puts anything in it.
    #expect(try await namespaces.update(NamespaceRecord(name: "new", labels: ["k": "v"]), fields: ["labels.k"]).labels == ["k": "v"])
  }

  @Test func anythingMakesItsNamespaceAndHoldsIt() async throws {
    let fixture = try Fixture()
    let digest = try await fixture.blob("blob", in: "held")
    try await fixture.image("i", digest, in: "held")
    _ = try await fixture.snapshots(in: "held", name: "native").prepare("k", parent: nil, labels: [:])
    #expect(try await fixture.store.namespaces.get("held").labels == [:])
    await expectError(.failedPrecondition, "namespace \"held\" must be empty, but it still has images, blobs, snapshots on \"native\" snapshotter") {
      try await fixture.store.namespaces.delete("held")
    }
    try await fixture.store.images(in: fixture.scope(in: "held")).delete("i")
    try await fixture.store.content(in: fixture.scope(in: "held")).delete(digest)
    try await fixture.snapshots(in: "held", name: "native").remove("k")
    try await fixture.lease("l", in: "held")
    try await fixture.store.namespaces.delete("held")
    #expect(try await fixture.store.namespaces.list().isEmpty)
  }

  @Test func scopesAreChecked() throws {
    let fixture = try Fixture()
    #expect(throws: ContainerdError.self) { try fixture.store.images(in: Scope(namespace: "")) }
    #expect(throws: ContainerdError.invalidArgument("snapshotter not loaded: zfs")) { try fixture.store.snapshotter("zfs", in: Scope(namespace: "n")) }
    #expect(fixture.store.snapshotterNames == ["native", "overlayfs"])
  }
}
