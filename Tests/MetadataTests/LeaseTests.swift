import Metadata
import Protocols
import Testing

struct LeaseTests {
  @Test func lifeOfALease() async throws {
    let fixture = try Fixture()
    let leases = try fixture.store.leases(in: fixture.scope())
    try await fixture.lease("b", labels: ["k": "v"])
    try await fixture.lease("a")
    #expect(try await leases.list(.all).map(\.id) == ["a", "b"])
    #expect(try await leases.list(FilterSet(parsing: ["labels.k==v"])).map(\.id) == ["b"])
    #expect(try await leases.list(FilterSet(parsing: ["id==a"])).first?.createdAt == fixture.clock.now())
    await expectError(.alreadyExists, "lease \"a\"") { try await fixture.lease("a") }
    await expectError(.invalidArgument) { try await fixture.lease("") }
    await expectError(.notFound, "lease \"x\"") { try await leases.delete("x") }
    await expectError(.notFound, "lease \"x\"") { _ = try await leases.resources(of: "x") }
    try await leases.delete("a")
    #expect(try await leases.list(.all).map(\.id) == ["b"])
  }

  @Test func resourcesComeAndGo() async throws {
    let fixture = try Fixture()
    let leases = try fixture.store.leases(in: fixture.scope())
    try await fixture.lease("l")
    let digest = testDigest([1]).description
    for resource in [
      LeaseResource(type: "content", id: digest), LeaseResource(type: "ingests", id: "r"), LeaseResource(type: "images", id: "i"),
      LeaseResource(type: "snapshots/overlayfs", id: "a key"), LeaseResource(type: "ingests", id: "r"),
    ] { try await leases.addResource(resource, to: "l") }
    #expect(try await fixture.held(by: "l") == ["content \(digest)", "images i", "ingests r", "snapshots/overlayfs a key"])
    try await leases.deleteResource(LeaseResource(type: "images", id: "i"), from: "l")
    #expect(try await fixture.held(by: "l").count == 3)
    await expectError(.notFound, "lease \"x\"") { try await leases.addResource(LeaseResource(type: "ingests", id: "r"), to: "x") }
    await expectError(.invalidArgument) { try await leases.addResource(LeaseResource(type: "content", id: "no digest"), to: "l") }
    await expectError(.notImplemented) { try await leases.addResource(LeaseResource(type: "sandboxes", id: "r"), to: "l") }
  }

  @Test func whatACallTouchesIsHeld() async throws {
    let fixture = try Fixture()
    try await fixture.lease("l")
    let digest = try await fixture.blob("one", lease: "l")
    let open = try await fixture.store.content(in: fixture.scope("l")).writer(ref: "open", expected: IngestExpectation())
    try await fixture.layer("base", lease: "l")
    _ = try await fixture.snapshots("l").view("v", parent: "base", labels: [:])
    _ = try await fixture.store.images(in: fixture.scope("l")).create(
      ImageRecord(name: "i", target: Descriptor(mediaType: "m", digest: digest, size: 3)))
    #expect(
      try await fixture.held(by: "l") == [
        "content \(digest)", "images i", "ingests open", "snapshots/overlayfs base", "snapshots/overlayfs v",
      ])
    await open.close()
  }

  @Test func touchingWhatIsThereHoldsItToo() async throws {
    let fixture = try Fixture()
    let digest = try await fixture.blob("one")
    try await fixture.layer("base")
    _ = try await fixture.snapshots().prepare("active", parent: "base", labels: [:])
    _ = try await fixture.snapshots().prepare("second", parent: "base", labels: [:])
    try await fixture.lease("l")
    await expectError(.alreadyExists, "content \(digest)") {
      _ = try await fixture.store.content(in: fixture.scope("l")).writer(ref: "r", expected: IngestExpectation(digest: digest))
    }
    await expectError(.alreadyExists, "snapshot active") { _ = try await fixture.snapshots("l").prepare("active", parent: "base", labels: [:]) }
    await expectError(.alreadyExists, "snapshot base") { try await fixture.snapshots("l").commit("base", key: "second", labels: [:]) }
    #expect(try await fixture.held(by: "l") == ["content \(digest)", "snapshots/overlayfs active", "snapshots/overlayfs base"])
  }

  @Test func anUnknownLeaseStopsEverything() async throws {
    let fixture = try Fixture()
    let message = "lease \"x\""
    await expectError(.notFound, message) { try await fixture.blob("one", lease: "x") }
    await expectError(.notFound, message) { _ = try await fixture.snapshots("x").prepare("k", parent: nil, labels: [:]) }
    await expectError(.notFound, message) {
      _ = try await fixture.store.images(in: fixture.scope("x")).create(
        ImageRecord(name: "i", target: Descriptor(mediaType: "m", digest: testDigest([1]), size: 3)))
    }
    #expect(try await fixture.digests().isEmpty && fixture.content.refs.isEmpty && fixture.overlay.keys.isEmpty)
    #expect(try await fixture.store.images(in: fixture.scope()).list(.all).isEmpty && fixture.events.events.isEmpty)
  }

  @Test func aLeaseThatEndsDuringTheUploadStopsTheCommit() async throws {
    let fixture = try Fixture()
    try await fixture.lease("l")
    let writer = try await fixture.store.content(in: fixture.scope("l")).writer(ref: "r", expected: IngestExpectation())
    try await writer.write([1, 2], at: nil)
    try await fixture.store.leases(in: fixture.scope()).delete("l")
    await expectError(.notFound, "lease \"l\"") { _ = try await writer.commit(IngestExpectation(), labels: [:]) }
    #expect(try await fixture.digests().isEmpty)
  }
}
