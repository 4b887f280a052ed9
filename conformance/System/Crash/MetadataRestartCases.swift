import ConformanceSuites
import Protocols
import SystemKit

/// Metadata stores that come up on a directory that something happened to.
public enum MetadataRestartSuite {
  public static let cases: [ContractCase<RestartMetadataSubject>] = [
    ContractCase(
      "restart.metadata.corrupt-database", "a damaged database is refused with a message, and not replaced by an empty one", "MetadataStore, law 2; DB-03",
      needs: [.layout],
      why: "an empty database makes garbage of every image and snapshot, and the next collection removes them", threads: ["containerd/containerd#13416"]
    ) { subject in
      let (database, before) = try await furnished(subject)
      let damage = try await onDisk { try Damage.overwrite(database) }
      try await refused(subject, before, "with a damaged database")
      try await subject.process.kill()
      try expect(try await onDisk { try Files.read(database) } == damage, "the damaged database was overwritten: \(database)")
    },
    ContractCase(
      "restart.metadata.newer-database", "a database that a later version wrote is refused with a message", "MetadataStore; DB-04",
      needs: [.layout, .versionedDatabase],
      why: "a downgrade that goes on with what it does not understand damages what the later version needs"
    ) { subject in
      guard let age = subject.age else { throw CaseSkipped(.capability, "the database has no version") }
      let (database, _) = try await furnished(subject)
      try await onDisk { try age(database) }
      do { try await subject.process.start() } catch let refusal as StartRefused {
        try expect(refusal.end != nil, "with a database of a later version: \(refusal)")
        try expect(!refusal.said.isEmpty, "with a database of a later version the store ends without a word")
        return
      }
      let store = try await subject.open()
      try await expectRefusal(of: "an image with a database of a later version") { try await store.image("new", store.digest(bytes("manifest"))) }
    },
    ContractCase(
      "restart.metadata.lost-database", "a database that is gone is no reason to forget, or to remove, what it named", "MetadataStore, law 2; DB-02",
      level: .should,
      needs: [.layout, .wholeDaemon],
      why: "a disk that is mounted late, or a moved root: the empty database that is made instead is the order to remove everything",
      threads: ["containerd/containerd#3051", "containerd/containerd#5521"]
    ) { subject in
      let (database, before) = try await furnished(subject)
      try await onDisk { try Damage.lose(database) }
      try await refused(subject, before, "without its database")
    },
  ]

  private static func furnished(_ subject: RestartMetadataSubject) async throws -> (database: String, names: [String]) {
    guard let database = subject.database else { throw CaseSkipped(.capability, "where the store keeps what is not known") }
    try await subject.process.startAfter("the first start")
    let store = try await subject.open()
    try await store.lease("hold")
    let digest = try await store.blob("manifest", lease: "hold")
    try await store.layer("base", lease: "hold")
    for number in 0..<3 { try await store.image("image \(number)", digest) }
    guard try await subject.process.terminate(within: 30) != nil else {
      throw Mismatch(description: "told to end (SIGTERM), the store still runs after 30 s: \(await subject.process.said())")
    }
    return (database, (0..<3).map { "image \($0)" })
  }

  /// Either it does not come up and says why, or it refuses every call; or it has everything after all.
  private static func refused(_ subject: RestartMetadataSubject, _ before: [String], _ what: String) async throws {
    do { try await subject.process.start() } catch let refusal as StartRefused {
      try expect(refusal.end != nil, "\(what) the store neither ends nor serves: \(refusal.said)")
      try expect(!refusal.said.isEmpty, "\(what) the store ends without a word")
      return
    }
    let found: [String]
    do { found = try await subject.open().images().list(.all).map(\.name) } catch is ContainerdError { return }
    if found == before { return }
    throw Mismatch(
      description: "\(what) the store serves, and lists \(found.count) of the \(before.count) images that were there",
      expected: "\(what): it is refused, or everything is there", actual: "\(found.count) of \(before.count) images are listed")
  }
}

extension Capability {
  /// Not a part of a daemon, but the whole of it.
  public static let wholeDaemon = Capability("wholeDaemon")
}
