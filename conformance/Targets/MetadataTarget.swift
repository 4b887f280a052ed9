import ConformanceKit
import ConformanceSuites
import Hashing
import InMemoryFakes
import Metadata
import Protocols
import TestSupport

extension Target {
  /// `inproc:metadata`: the metadata store of this package on SQLite, over the in-memory fakes: its own contract, and those of the content and the
  /// snapshotter that it hands out.
  static func metadata(_ address: String) -> Target {
    var target = Target(address: address, capabilities: [.truncation, .openReaders, .sha512, .alone])
    target.offerMetadataVictims()
    @Sendable func store(_ workspace: Workspace, events: InMemoryEventExchange, now: @escaping @Sendable () -> Timestamp) throws -> SQLiteMetadataStore {
      try SQLiteMetadataStore(
        path: workspace.directory + "/meta.db", content: InMemoryContentStore(), snapshotters: ["overlayfs": InMemorySnapshotter()], events: events, now: now)
    }
    target[MetadataSubject.self] = { workspace in
      let clock = TestClock()
      let events = InMemoryEventExchange()
      return MetadataSubject(
        store: try store(workspace, events: events, now: clock.now), snapshotter: "overlayfs", published: { events.published }, now: clock.now
      ) {
        clock.advance($0)
      } digest: {
        Digest.of($0)
      }
    }
    target[CollectionSubject.self] = { workspace in
      try CollectionSubject(try store(workspace, events: InMemoryEventExchange(), now: TestClock(follows: true).now), namespace: "n")
    }
    target[ContentSubject.self] = { workspace in
      let store = try store(workspace, events: InMemoryEventExchange(), now: TestClock(follows: true).now)
      return ContentSubject(store: try store.content(in: Scope(namespace: "n")), rules: .namespace) { Digest.of($0, $1) }
    }
    target[SnapshotSubject.self] = { workspace in
      let store = try store(workspace, events: InMemoryEventExchange(), now: TestClock(follows: true).now)
      return SnapshotSubject(snapshotter: try store.snapshotter("overlayfs", in: Scope(namespace: "n")))
    }
    return target
  }
}
