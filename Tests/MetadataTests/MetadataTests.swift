import Foundation
import Metadata
import Protocols
import Synchronization
import TestSupport
import Testing

/// The store over backends of its own: bytes in memory, snapshots by name.
@Suite struct MetadataTests {
  let scratch = ScratchDirectory("metadata")
  let content = MemoryContent()
  let snapshots = MemorySnapshots()
  let events = RecordedEvents()
  let clock = Clock()

  func store() throws -> SQLiteMetadataStore {
    let clock = clock
    return try SQLiteMetadataStore(
      path: scratch.path + "/meta.db", content: content, snapshotters: ["overlayfs": snapshots], events: events, now: { clock.now })
  }

  func code(_ body: () async throws -> Void) async -> ContainerdError.Code? {
    do { try await body() } catch { return (error as? ContainerdError)?.code }
    return nil
  }

  func put(_ store: SQLiteMetadataStore, _ scope: Scope, _ bytes: [UInt8], labels: Labels = [:]) async throws -> Digest {
    let writer = try await store.content(in: scope).writer(ref: "r-\(bytes)", expected: IngestExpectation())
    try await writer.write(bytes, at: nil)
    return try await writer.commit(IngestExpectation(), labels: labels)
  }

  let a = Scope(namespace: "a")
  let b = Scope(namespace: "b")

  @Test func everyCommitIsFullySynchronous() throws { #expect(try store().synchronousLevel() == 2) }

  @Test func namespacesDoNotSeeEachOther() async throws {
    let store = try store()
    let digest = try await put(store, a, [1])
    #expect(await code { _ = try await store.content(in: b).info(digest) } == .notFound)
    // The bytes are shared: the other namespace only links them.
    let writer = try await store.content(in: b).writer(ref: "r", expected: IngestExpectation(size: 1, digest: digest))
    #expect(try await writer.status().offset == 1)
    _ = try await writer.commit(IngestExpectation(size: 1, digest: digest), labels: [:])
    #expect(try await store.content(in: b).info(digest).size == 1)
    #expect(try await store.namespaces.list().map(\.name) == ["a", "b"])
    #expect(await code { try await store.namespaces.delete("b") } == .failedPrecondition)
  }

  @Test func whatNobodyHoldsIsCollectedAndNothingElse() async throws {
    let store = try store()
    let layer = try await put(store, a, [1])
    let manifest = try await put(store, a, [2], labels: ["containerd.io/gc.ref.content.l.0": layer.description])
    let rooted = try await put(store, a, [3], labels: ["containerd.io/gc.root": "yes"])
    let lost = try await put(store, a, [4])
    _ = try await store.images(in: a).create(ImageRecord(name: "i", target: Descriptor(mediaType: "m", digest: manifest, size: 1)))
    let report = try await store.collectGarbage()
    #expect(report.content == 1)
    for digest in [layer, manifest, rooted] { #expect(try await store.content(in: a).info(digest).size == 1) }
    #expect(await code { _ = try await store.content(in: a).info(lost) } == .notFound)
    #expect(content.digests == [layer, manifest, rooted])
    try await store.images(in: a).delete("i")
    #expect(try await store.collectGarbage().content == 2)
    #expect(content.digests == [rooted])
  }

  @Test func aLeaseHoldsUntilItIsDeletedOrExpires() async throws {
    let store = try store()
    _ = try await store.leases(in: a).create(LeaseRecord(id: "l", labels: ["containerd.io/gc.expire": "2030-01-01T00:00:00Z"]))
    let digest = try await put(store, Scope(namespace: "a", lease: "l"), [1])
    #expect(try await store.leases(in: a).resources(of: "l").contains(LeaseResource(type: "content", id: digest.description)))
    try await store.collectGarbage()
    #expect(content.digests == [digest])
    clock.set(Timestamp(rfc3339: "2030-01-01T00:00:01Z") ?? .never)
    #expect(try await store.collectGarbage() == GarbageReport(content: 1, snapshots: 0, leases: 1))
    #expect(content.digests.isEmpty)
    #expect(await code { _ = try await put(store, Scope(namespace: "a", lease: "none"), [9]) } == .notFound)
  }

  @Test func snapshotsAreCollectedLeavesFirst() async throws {
    let store = try store()
    let view = try store.snapshotter("overlayfs", in: a)
    for number in 1...3 {
      _ = try await view.prepare("k\(number)", parent: number == 1 ? nil : "n\(number - 1)", labels: [:])
      try await view.commit("n\(number)", key: "k\(number)", labels: [:])
    }
    _ = try await view.prepare("live", parent: "n1", labels: [:])
    _ = try await store.containers(in: a).create(
      ContainerRecord(id: "c", runtime: "r", spec: TypedValue(typeURL: "t", value: []), snapshotter: "overlayfs", snapshotKey: "live"))
    #expect(try await store.collectGarbage().snapshots == 2)
    #expect(snapshots.removed.map { $0.split(separator: "/").last.map(String.init) } == ["n3", "n2"])
    #expect(try await view.stat("n1").kind == .committed)
    #expect(events.topics.filter { $0 == "/snapshot/remove" }.count == 2)
  }

  @Test func theContractOfContainers() async throws {
    let containers = try store().containers(in: a)
    let spec = TypedValue(typeURL: "t", value: [1])
    #expect(await code { _ = try await containers.create(ContainerRecord(id: "c", runtime: "", spec: spec)) } == .invalidArgument)
    #expect(await code { _ = try await containers.create(ContainerRecord(id: "../c", runtime: "r", spec: spec)) } == .invalidArgument)
    var record = try await containers.create(ContainerRecord(id: "c", labels: ["a": "1"], runtime: "r", spec: spec))
    #expect(await code { _ = try await containers.create(record) } == .alreadyExists)
    record.runtime = "other"
    #expect(await code { _ = try await containers.update(record, fields: .all) } == .invalidArgument)
    record.labels = ["a": "", "b": "2"]
    #expect(try await containers.update(record, fields: ["labels.a", "labels.b"]).labels == ["b": "2"])
    #expect(await code { _ = try await containers.update(record, fields: ["runtime"]) } == .invalidArgument)
    #expect(try await containers.list(FilterSet(parsing: ["labels.b==2"])).map(\.id) == ["c"])
    try await containers.delete("c")
    #expect(await code { try await containers.delete("c") } == .notFound)
  }

  @Test func whatIsWrittenIsThereAfterAKill() async throws {
    let path = "/tmp/ref-meta-kill-\(getpid())"
    setenv("REF_KILL_ROOT", path, 1)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    await #expect(processExitsWith: .signal(SIGKILL)) {
      let path = String(cString: getenv("REF_KILL_ROOT"))
      let store = try SQLiteMetadataStore(path: path + "/meta.db", content: MemoryContent(), snapshotters: [:], events: RecordedEvents())
      for number in 0..<20 { _ = try await store.namespaces.create(NamespaceRecord(name: "n\(number)")) }
      kill(getpid(), SIGKILL)
    }
    let store = try SQLiteMetadataStore(path: path + "/meta.db", content: MemoryContent(), snapshotters: [:], events: RecordedEvents())
    #expect(try await store.namespaces.list().count == 20)
  }
}
