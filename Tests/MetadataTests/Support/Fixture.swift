import GRDB
import Metadata
import Protocols
import Synchronization
import TestSupport
import Testing

/// A metadata store over backends in memory, with a clock that only tests move.
final class Fixture: Sendable {
  let scratch: ScratchDirectory
  let path: String
  let content = ContentBackend()
  let overlay = SnapshotBackend()
  let native = SnapshotBackend()
  let events = EventRecorder()
  let clock = TestClock()
  let store: SQLiteMetadataStore

  init() throws {
    scratch = ScratchDirectory("metadata-test")
    path = scratch.path + "/meta.db"
    store = try SQLiteMetadataStore(
      path: path, content: content, snapshotters: ["overlayfs": overlay, "native": native], events: events, now: clock.now)
  }

  /// Another store on the same file and backends, as after a restart.
  func reopened() throws -> SQLiteMetadataStore {
    try SQLiteMetadataStore(path: path, content: content, snapshotters: ["overlayfs": overlay, "native": native], events: events, now: clock.now)
  }

  func scope(_ lease: String? = nil, in namespace: String = "default") -> Scope { Scope(namespace: namespace, lease: lease) }

  @discardableResult
  func blob(_ text: String, labels: Labels = [:], lease: String? = nil, in namespace: String = "default") async throws -> Digest {
    let bytes = Array(text.utf8)
    let writer = try await store.content(in: scope(lease, in: namespace)).writer(ref: "upload-\(text)", expected: IngestExpectation())
    try await writer.write(bytes, at: nil)
    return try await writer.commit(IngestExpectation(size: Int64(bytes.count), digest: testDigest(bytes)), labels: labels)
  }

  func snapshots(_ lease: String? = nil, in namespace: String = "default", name: String = "overlayfs") throws -> any Snapshotter {
    try store.snapshotter(name, in: scope(lease, in: namespace))
  }

  /// A committed snapshot.
  func layer(_ name: String, parent: String? = nil, labels: Labels = [:], lease: String? = nil, snapshotter: String = "overlayfs") async throws {
    let snapshots = try snapshots(lease, name: snapshotter)
    _ = try await snapshots.prepare("extract-\(name)", parent: parent, labels: [:])
    try await snapshots.commit(name, key: "extract-\(name)", labels: labels)
  }

  func digests(in namespace: String = "default") async throws -> Set<Digest> {
    let found = Collected<ContentInfo>()
    try await store.content(in: scope(in: namespace)).walk(.all) { await found.append($0) }
    return Set(await found.items.map(\.digest))
  }

  func keys(in namespace: String = "default", name: String = "overlayfs") async throws -> Set<String> {
    let found = Collected<SnapshotInfo>()
    try await store.snapshotter(name, in: scope(in: namespace)).walk(.all) { await found.append($0) }
    return Set(await found.items.map(\.name))
  }

  @discardableResult
  func image(_ name: String, _ target: Digest, labels: Labels = [:], in namespace: String = "default") async throws -> ImageRecord {
    try await store.images(in: scope(in: namespace)).create(
      ImageRecord(name: name, labels: labels, target: Descriptor(mediaType: "application/vnd.oci.image.manifest.v1+json", digest: target, size: 5)))
  }

  static func container(_ id: String) -> ContainerRecord {
    ContainerRecord(
      id: id, image: "img", runtime: "io.containerd.ref.v2",
      spec: TypedValue(typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: Array("{}".utf8)), snapshotter: "overlayfs", snapshotKey: id)
  }

  func lease(_ id: String, labels: Labels = [:], in namespace: String = "default") async throws {
    _ = try await store.leases(in: scope(in: namespace)).create(LeaseRecord(id: id, labels: labels))
  }

  func held(by lease: String, in namespace: String = "default") async throws -> [String] {
    try await store.leases(in: scope(in: namespace)).resources(of: lease).map { "\($0.type) \($0.id)" }
  }
}

final class EventRecorder: EventPublisher {
  private let state = Mutex<[EventEnvelope]>([])
  func publish(_ envelope: EventEnvelope) { state.withLock { $0.append(envelope) } }
  var events: [Event] { state.withLock { $0.map(\.event) } }
  var topics: [String] { events.map(\.topic) }
  func clear() { state.withLock { $0 = [] } }
}

actor Collected<Item: Sendable> {
  private(set) var items: [Item] = []
  func append(_ item: Item) { items.append(item) }
}

/// Expects a `ContainerdError` of the class, and the message if given.
func expectError(
  _ code: ContainerdError.Code, _ message: String? = nil, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async {
  do {
    try await body()
    Issue.record("expected \(code), but nothing was thrown", sourceLocation: sourceLocation)
  } catch let error as ContainerdError {
    #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
    if let message { #expect(error.message == message, sourceLocation: sourceLocation) }
  } catch { Issue.record("expected \(code), got \(error)", sourceLocation: sourceLocation) }
}
