import Protocols
import Synchronization

/// An upload in a namespace: the backend's writer, and the row once the bytes are durable.
struct NamespacedContentWriter: ContentWriter {
  let owner: NamespacedContentStore
  let ref: String
  let backend: any ContentWriter
  let expected: IngestExpectation

  func status() async throws -> IngestStatus {
    var status = try await backend.status()
    status.ref = ref
    status.expected = expected.digest
    return status
  }

  func write(_ bytes: [UInt8], at offset: Int64?) async throws { try await backend.write(bytes, at: offset) }
  func truncate(to offset: Int64) async throws { try await backend.truncate(to: offset) }
  func digest() async throws -> Digest { try await backend.digest() }
  func close() async { await backend.close() }

  func commit(_ wanted: IngestExpectation, labels: Labels) async throws -> Digest {
    try labels.validateLabels()
    let target = IngestExpectation(size: wanted.size ?? expected.size, digest: wanted.digest ?? expected.digest)
    if let a = wanted.digest, let b = expected.digest, a != b {
      throw ContainerdError.failedPrecondition("ingest \(ref): unexpected commit digest \(a), expected \(b)")
    }
    return try await owner.store.gate.passing {
      let size = try await backend.status().offset
      let digest = try await backend.digest()
      let had = try await owner.has(digest)
      do {
        _ = try await backend.commit(target, labels: [:])
      } catch let error as ContainerdError where error.code == .alreadyExists {
        // The bytes came by another way meanwhile; what counts is this namespace's name for them.
      }
      try await owner.record(digest, size: size, labels: labels, ref: ref)
      if had { throw ContainerdError.alreadyExists("content \(digest)") }
      owner.store.publish(.contentCreate(digest: digest, size: size, mediaType: ""), in: owner.scope.namespace)
      return digest
    }
  }
}

/// An upload that is complete from the start: the bytes are in the store, this namespace only lacks the name.
final class LinkingWriter: ContentWriter {
  private let owner: NamespacedContentStore
  private let ref: String
  private let present: ContentInfo
  private let startedAt: Timestamp

  init(owner: NamespacedContentStore, ref: String, present: ContentInfo, startedAt: Timestamp) {
    self.owner = owner
    self.ref = ref
    self.present = present
    self.startedAt = startedAt
  }

  func status() async throws -> IngestStatus {
    IngestStatus(ref: ref, offset: present.size, total: present.size, expected: present.digest, startedAt: startedAt, updatedAt: startedAt)
  }

  func write(_ bytes: [UInt8], at offset: Int64?) async throws {
    if !bytes.isEmpty { throw ContainerdError.outOfRange("ingest \(ref): all \(present.size) bytes of \(present.digest) are here") }
  }

  func truncate(to offset: Int64) async throws {
    if offset != present.size { throw ContainerdError.failedPrecondition("ingest \(ref): \(present.digest) is complete and cannot be truncated") }
  }

  func digest() async throws -> Digest { present.digest }
  func close() async {}

  func commit(_ wanted: IngestExpectation, labels: Labels) async throws -> Digest {
    try labels.validateLabels()
    if let size = wanted.size, size != present.size {
      throw ContainerdError.failedPrecondition("ingest \(ref): unexpected commit size \(present.size), expected \(size)")
    }
    if let digest = wanted.digest, digest != present.digest {
      throw ContainerdError.failedPrecondition("ingest \(ref): unexpected commit digest \(present.digest), expected \(digest)")
    }
    return try await owner.store.gate.passing {
      // A collection may have run since the upload was opened.
      _ = try await owner.store.backendContent.info(present.digest)
      if try await owner.has(present.digest) { throw ContainerdError.alreadyExists("content \(present.digest)") }
      try await owner.record(present.digest, size: present.size, labels: labels, ref: ref)
      return present.digest
    }
  }
}
