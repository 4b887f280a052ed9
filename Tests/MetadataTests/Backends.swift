import Protocols
import Synchronization

/// A clock that stands still until it is set.
final class Clock: Sendable {
  private let value = Mutex(Timestamp(seconds: 1_700_000_000))
  var now: Timestamp { value.withLock { $0 } }
  func set(_ time: Timestamp) { value.withLock { $0 = time } }
}

final class RecordedEvents: EventPublisher {
  private let seen = Mutex<[String]>([])
  var topics: [String] { seen.withLock { $0 } }
  func publish(_ envelope: EventEnvelope) { seen.withLock { $0.append(envelope.topic) } }
}

/// Blobs whose digest is made of their first byte: what these tests need of a backend.
final class MemoryContent: ContentStore {
  private let blobs = Mutex<[Digest: [UInt8]]>([:])
  var digests: Set<Digest> { blobs.withLock { Set($0.keys) } }

  func info(_ digest: Digest) async throws -> ContentInfo {
    guard let bytes = blobs.withLock({ $0[digest] }) else { throw ContainerdError.notFound("content \(digest)") }
    return ContentInfo(digest: digest, size: Int64(bytes.count))
  }
  func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo { try await self.info(info.digest) }
  func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    for digest in digests { try await visit(info(digest)) }
  }
  func delete(_ digest: Digest) async throws { blobs.withLock { _ = $0.removeValue(forKey: digest) } }
  func status(ref: String) async throws -> IngestStatus { throw ContainerdError.notFound("ingest ref \(ref)") }
  func statuses(_ filters: FilterSet) async throws -> [IngestStatus] { [] }
  func abort(ref: String) async throws { throw ContainerdError.notFound("ingest ref \(ref)") }
  func reader(_ digest: Digest) async throws -> any ContentReader { throw ContainerdError.notImplemented("reading") }
  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter { Writer(store: self) }

  fileprivate func add(_ digest: Digest, _ bytes: [UInt8]) { blobs.withLock { $0[digest] = bytes } }

  private actor Writer: ContentWriter {
    let store: MemoryContent
    var bytes: [UInt8] = []
    init(store: MemoryContent) { self.store = store }
    func status() async throws -> IngestStatus {
      IngestStatus(ref: "", offset: Int64(bytes.count), total: 0, expected: nil, startedAt: .never, updatedAt: .never)
    }
    func write(_ more: [UInt8], at offset: Int64?) async throws { bytes += more }
    func truncate(to offset: Int64) async throws { bytes.removeLast(bytes.count - Int(offset)) }
    func digest() async throws -> Digest { Digest(.sha256, hash: [UInt8](repeating: bytes.first ?? 0, count: 32)) }
    func commit(_ expected: IngestExpectation, labels: Labels) async throws -> Digest {
      let digest = try await digest()
      store.add(digest, bytes)
      return digest
    }
    func close() async {}
  }
}

/// Keys with parents, and the order in which they were removed.
final class MemorySnapshots: Snapshotter {
  private struct State {
    var infos: [String: SnapshotInfo] = [:]
    var removed: [String] = []
  }
  private let state = Mutex(State())
  var removed: [String] { state.withLock { $0.removed } }

  func stat(_ key: String) async throws -> SnapshotInfo {
    guard let info = state.withLock({ $0.infos[key] }) else { throw ContainerdError.notFound("snapshot \(key)") }
    return info
  }
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await stat(info.name) }
  func usage(_ key: String) async throws -> SnapshotUsage { SnapshotUsage() }
  func mounts(_ key: String) async throws -> [Mount] { [] }
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    state.withLock { $0.infos[key] = SnapshotInfo(kind: .active, name: key, parent: parent) }
    return []
  }
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] { try await prepare(key, parent: parent, labels: labels) }
  func commit(_ name: String, key: String, labels: Labels) async throws {
    state.withLock { state in
      let parent = state.infos.removeValue(forKey: key)?.parent
      state.infos[name] = SnapshotInfo(kind: .committed, name: name, parent: parent)
    }
  }
  func remove(_ key: String) async throws {
    try state.withLock { state in
      if state.infos.values.contains(where: { $0.parent == key }) { throw ContainerdError.failedPrecondition("snapshot \(key) has children") }
      state.infos[key] = nil
      state.removed.append(key)
    }
  }
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    for info in state.withLock({ Array($0.infos.values) }) { try await visit(info) }
  }
  func cleanup() async throws {}
  func close() async throws {}
}
