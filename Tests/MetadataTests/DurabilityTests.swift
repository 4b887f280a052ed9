import GRDB
import Glibc
import InMemoryFakes
import Metadata
import Protocols
import Synchronization
import TestSupport
import Testing

struct DurabilityTests {
  @Test func everyCommitIsSynced() throws {
    let fixture = try Fixture()
    #expect(try fixture.store.synchronousLevel() == 2)
    #expect(try fixture.reopened().synchronousLevel() == 2)
  }

  @Test func everythingIsThereAfterAReopen() async throws {
    let fixture = try Fixture()
    let digest = try await fixture.blob("one", labels: ["k": "v"])
    let image = try await fixture.image("i", digest)
    let container = try await fixture.store.containers(in: fixture.scope()).create(Fixture.container("c"))
    try await fixture.layer("base")
    let store = try fixture.reopened()
    #expect(try await store.images(in: fixture.scope()).get("i") == image)
    #expect(try await store.containers(in: fixture.scope()).get("c") == container)
    #expect(try await store.content(in: fixture.scope()).info(digest).labels == ["k": "v"])
    #expect(try await store.snapshotter("overlayfs", in: fixture.scope()).stat("base").kind == .committed)
  }

  @Test(arguments: [0, 4096]) func aDamagedFileIsRefusedByName(_ offset: Int) throws {
    let scratch = ScratchDirectory()
    let path = "\(scratch.path)/meta.db"
    let make = {
      try SQLiteMetadataStore(path: path, content: InMemoryContentStore(), snapshotters: [:], events: InMemoryEventExchange())
    }
    _ = try make()
    let file = open(path, O_WRONLY)
    #expect(pwrite(file, [UInt8](repeating: 0xA5, count: 4096), 4096, off_t(offset)) == 4096)
    close(file)
    let error = #expect(throws: ContainerdError.self) { _ = try make() }
    #expect(error?.code == .dataLoss)
    #expect(error?.message.contains("\(path) is damaged") == true)
  }

  @Test func aNewerFileIsRefused() throws {
    let fixture = try Fixture()
    try DatabaseQueue(path: fixture.path).write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('99 from the future')") }
    #expect(throws: ContainerdError.failedPrecondition("metadata \(fixture.path): written by a newer version")) { try fixture.reopened() }
  }

  @Test func whatIsNoDatabaseIsRefused() throws {
    let scratch = ScratchDirectory("metadata-test")
    let path = scratch.path + "/meta.db"
    let file = fopen(path, "w")
    fputs(String(repeating: "not a database\n", count: 100), file)
    fclose(file)
    #expect(throws: ContainerdError.self) {
      try SQLiteMetadataStore(path: path, content: ContentBackend(), snapshotters: [:], events: EventRecorder())
    }
  }

  /// The file and its log as they are on disk while a transaction is open: what a power failure would find.
  @Test func aCopyTakenInTheMiddleIsSound() async throws {
    let fixture = try Fixture()
    try await fixture.image("before", testDigest([1]))
    let copy = fixture.scratch.path + "/copy.db"
    let armed = Mutex(true)
    let store = try SQLiteMetadataStore(
      path: fixture.path, content: fixture.content, snapshotters: [:], events: fixture.events,
      now: { [path = fixture.path] in
        // The clock is read inside the transaction.
        if armed.withLock({ armed in
          defer { armed = false }; return armed
        }) {
          for suffix in ["", "-wal"] { _ = try? run(["cp", path + suffix, copy + suffix]) }
        }
        return .now()
      })
    _ = try await store.images(in: fixture.scope()).create(
      ImageRecord(name: "during", target: Descriptor(mediaType: "m", digest: testDigest([2]), size: 1)))
    try Self.expectSound(copy)
    let restored = try SQLiteMetadataStore(path: copy, content: fixture.content, snapshotters: [:], events: fixture.events)
    #expect(try await restored.images(in: fixture.scope()).list(.all).map(\.name) == ["before"])
  }

  /// Killed inside a transaction: all that was acknowledged is there, nothing of what was not, and never half of it.
  @Test(arguments: [1, 2, 7, 20]) func killedInTheMiddle(_ last: Int) async throws {
    let scratch = ScratchDirectory("metadata-crash")
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = scratch.path + "/meta.db" as String, last = last as Int] in
      try await CrashingProcess.run(path, killedIn: last)
    }
    try Self.expectSound(scratch.path + "/meta.db")
    let store = try SQLiteMetadataStore(path: scratch.path + "/meta.db", content: ContentBackend(), snapshotters: [:], events: EventRecorder())
    let scope = Scope(namespace: "default")
    let images = try await store.images(in: scope).list(.all).map(\.name)
    let held = try await store.leases(in: scope).resources(of: "l").map(\.id)
    #expect(images == (1..<last).map { "image-\(100 + $0)" })
    // An object and its lease are one transaction.
    #expect(held == images)
  }

  /// Killed between the backend's half of a blob's commit and ours: no name, and the bytes are collected.
  @Test func killedBetweenTheBytesAndTheName() async throws {
    let scratch = ScratchDirectory("metadata-crash")
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = scratch.path + "/meta.db" as String] in try await CrashingProcess.commitBlob(path) }
    try Self.expectSound(scratch.path + "/meta.db")
    // What the killed process's backend would have on disk.
    let content = ContentBackend()
    content.state.withLock { $0.blobs = [testDigest([1]): [1]] }
    let store = try SQLiteMetadataStore(path: scratch.path + "/meta.db", content: content, snapshotters: [:], events: EventRecorder())
    let scope = Scope(namespace: "default", lease: "l")
    await expectError(.notFound) { _ = try await store.content(in: scope).info(testDigest([1])) }
    #expect(try await store.leases(in: scope).resources(of: "l") == [LeaseResource(type: "ingests", id: "r")])
    try await store.collectGarbage()
    #expect(content.digests.isEmpty)
    #expect(try await store.leases(in: scope).resources(of: "l").isEmpty)
  }

  static func expectSound(_ path: String) throws {
    let (integrity, dangling) = try DatabaseQueue(path: path).read { db in
      (try String.fetchAll(db, sql: "PRAGMA integrity_check"), try Row.fetchAll(db, sql: "PRAGMA foreign_key_check").count)
    }
    #expect(integrity == ["ok"] && dangling == 0)
  }
}

/// What runs in the process that is to be killed.
enum CrashingProcess {
  static func run(_ path: String, killedIn last: Int) async throws {
    let dying = Atomic<Bool>(false)
    let store = try SQLiteMetadataStore(
      path: path, content: ContentBackend(), snapshotters: [:], events: EventRecorder(),
      now: {
        if dying.load(ordering: .sequentiallyConsistent) { kill(getpid(), SIGKILL) }; return .now()
      })
    _ = try await store.leases(in: Scope(namespace: "default")).create(LeaseRecord(id: "l"))
    let images = try store.images(in: Scope(namespace: "default", lease: "l"))
    for index in 1...last {
      if index == last { dying.store(true, ordering: .sequentiallyConsistent) }
      _ = try await images.create(
        ImageRecord(name: "image-\(100 + index)", target: Descriptor(mediaType: "m", digest: testDigest([1]), size: 1)))
    }
  }

  static func commitBlob(_ path: String) async throws {
    let dying = Atomic<Bool>(false)
    let store = try SQLiteMetadataStore(
      path: path, content: ContentBackend(), snapshotters: [:], events: EventRecorder(),
      now: {
        if dying.load(ordering: .sequentiallyConsistent) { kill(getpid(), SIGKILL) }; return .now()
      })
    _ = try await store.leases(in: Scope(namespace: "default")).create(LeaseRecord(id: "l"))
    let writer = try await store.content(in: Scope(namespace: "default", lease: "l")).writer(ref: "r", expected: IngestExpectation())
    try await writer.write([1], at: nil)
    dying.store(true, ordering: .sequentiallyConsistent)
    _ = try await writer.commit(IngestExpectation(), labels: [:])
  }
}
