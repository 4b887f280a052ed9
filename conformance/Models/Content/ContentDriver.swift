import ConformanceSuites
import Protocols
import Synchronization

/// Does operations with a real content store; keeps the writers by their numbers.
package final class ContentDriver: Sendable {
  private let store: any ContentStore
  private let writers = Mutex<[Int: any ContentWriter]>([:])
  package init(_ subject: ContentSubject) { store = subject.store }

  package func perform(_ operation: ContentOperation) async throws -> Came<ContentAnswer> {
    try await Came<ContentAnswer> { try await answer(operation) }
  }

  private func answer(_ operation: ContentOperation) async throws -> ContentAnswer {
    switch operation {
    case .open(let number, let ref, let size, let blob):
      let writer = try await store.writer(ref: ref, expected: IngestExpectation(size: size, digest: blob.map(ContentModel.digest)))
      writers.withLock { $0[number] = writer }
    case .write(let number, let text, let offset): try await writer(number).write(Array(text.utf8), at: offset)
    case .startOver(let number): try await writer(number).truncate(to: 0)
    case .writerStatus(let number): return .ingest(Self.facts(try await writer(number).status()))
    case .commit(let number, let size, let blob, let labels):
      return .digest(try await writer(number).commit(IngestExpectation(size: size, digest: blob.map(ContentModel.digest)), labels: labels))
    case .close(let number): await writers.withLock({ $0[number] })?.close()
    case .status(let ref): return .ingest(Self.facts(try await store.status(ref: ref)))
    case .statuses: return .ingests(Set(try await store.statuses(.all).map(Self.facts)))
    case .abort(let ref): try await store.abort(ref: ref)
    case .info(let blob): return .blob(Self.facts(try await store.info(ContentModel.digest(blob))))
    case .update(let blob, let labels, let mask):
      return .blob(Self.facts(try await store.update(ContentInfo(digest: ContentModel.digest(blob), labels: labels), fields: FieldMask(mask))))
    case .read(let blob, let offset, let count):
      let reader = try await store.reader(ContentModel.digest(blob))
      do {
        let bytes = try await reader.read(at: offset, count: count)
        await reader.close()
        return .bytes(String(decoding: bytes, as: UTF8.self))
      } catch {
        await reader.close()
        throw error
      }
    case .walk(let filters):
      let seen = Visited<ContentInfo>()
      try await store.walk(FilterSet(parsing: filters)) { seen.append($0) }
      let digests = seen.items.map(\.digest)
      if Set(digests).count != digests.count {
        throw Finding(kind: "walk twice", what: operation.description, expected: "each blob once", actual: "\(digests.sorted())")
      }
      return .blobs(Set(seen.items.map(Self.facts)))
    case .delete(let blob): try await store.delete(ContentModel.digest(blob))
    }
    return .done
  }

  /// Nothing stays open.
  package func end() async {
    let open = writers.withLock { writers in
      defer { writers = [:] }
      return Array(writers.values)
    }
    for writer in open { await writer.close() }
  }

  private func writer(_ number: Int) throws -> any ContentWriter {
    guard let writer = writers.withLock({ $0[number] }) else { throw ContainerdError.failedPrecondition("writer \(number) was never opened") }
    return writer
  }
  private static func facts(_ status: IngestStatus) -> IngestFacts { IngestFacts(ref: status.ref, offset: status.offset, total: status.total) }
  private static func facts(_ info: ContentInfo) -> BlobFacts { BlobFacts(digest: info.digest, size: info.size, labels: info.labels) }
}
