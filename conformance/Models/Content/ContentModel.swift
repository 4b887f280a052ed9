import Hashing
import Protocols

/// The contract of `ContentStore` as a state machine. Blobs are texts; writers are numbers.
package struct ContentModel: SequentialModel {
  package struct Ingest: Hashable, Sendable {
    package var bytes = ""
    package var total: Int64 = 0
    package var holder: Int?
  }
  package struct Writer: Hashable, Sendable {
    package enum Phase: Hashable, Sendable { case open, closed, aborted }
    package var ref: String
    package var size: Int64?
    package var blob: String?
    package var phase = Phase.open
  }
  /// Labels of blobs, by their bytes.
  package private(set) var blobs: [String: Labels] = [:]
  package private(set) var ingests: [String: Ingest] = [:]
  package private(set) var writers: [Int: Writer] = [:]
  package init() {}

  package static func digest(_ text: String) -> Digest { Digest.of(Array(text.utf8)) }

  package func facts(_ blob: String) -> BlobFacts? {
    blobs[blob].map { BlobFacts(digest: Self.digest(blob), size: Int64(blob.utf8.count), labels: $0) }
  }
  package func facts(ref: String) -> IngestFacts? {
    ingests[ref].map { IngestFacts(ref: ref, offset: Int64($0.bytes.utf8.count), total: $0.total) }
  }
  package var allBlobs: Set<BlobFacts> { Set(blobs.keys.compactMap(facts)) }
  package var allIngests: Set<IngestFacts> { Set(ingests.keys.compactMap { facts(ref: $0) }) }

  package mutating func expects(_ operation: ContentOperation) -> Expectation<ContentAnswer> {
    switch operation {
    case .open(let number, let ref, let size, let blob): return open(number, ref, size, blob)
    case .close(let number):
      if let ref = held(number) { ingests[ref]?.holder = nil }
      writers[number]?.phase = .closed
      return .answer(.done)
    case .write(let number, let text, let offset):
      return using(number) { ingest in
        if let offset, offset != Int64(ingest.bytes.utf8.count) { return .failure([.outOfRange]) }
        ingest.bytes += text
        return .answer(.done)
      }
    case .startOver(let number):
      return using(number) { ingest in
        ingest.bytes = ""
        return .answer(.done)
      }
    case .writerStatus(let number):
      if let ref = held(number), let facts = facts(ref: ref) { return .answer(.ingest(facts)) }
      return refused(number)
    case .commit(let number, let size, let blob, let labels): return commit(number, size, blob, labels)
    case .status(let ref): return facts(ref: ref).map { .answer(.ingest($0)) } ?? .failure([.notFound])
    case .statuses: return .answer(.ingests(allIngests))
    case .abort(let ref):
      guard let ingest = ingests.removeValue(forKey: ref) else { return .failure([.notFound]) }
      if let holder = ingest.holder { writers[holder]?.phase = .aborted }
      return .answer(.done)
    case .info(let blob): return facts(blob).map { .answer(.blob($0)) } ?? .failure([.notFound])
    case .update(let blob, let labels, let mask):
      guard let old = blobs[blob] else { return .failure([.notFound]) }
      blobs[blob] = FieldMask(mask).updatedLabels(of: old, from: labels)
      return facts(blob).map { .answer(.blob($0)) } ?? .failure([.notFound])
    case .read(let blob, let offset, let count):
      if blobs[blob] == nil { return .failure([.notFound]) }
      return .answer(.bytes(String(decoding: Array(blob.utf8).dropFirst(Int(offset)).prefix(count), as: UTF8.self)))
    case .walk(let filters):
      guard let set = try? FilterSet(parsing: filters) else { return .failure([.invalidArgument]) }  // what is no filter matches nothing: it is refused
      return .answer(.blobs(allBlobs.filter { set.matches(ContentInfo(digest: $0.digest, size: $0.size, labels: $0.labels)) }))
    case .delete(let blob): return blobs.removeValue(forKey: blob) == nil ? .failure([.notFound]) : .answer(.done)
    }
  }

  private mutating func open(_ number: Int, _ ref: String, _ size: Int64?, _ blob: String?) -> Expectation<ContentAnswer> {
    var refused: Set<ContainerdError.Code> = []
    if let blob, blobs[blob] != nil { refused.insert(.alreadyExists) }
    var ingest = ingests[ref] ?? Ingest()
    if ingest.holder != nil { refused.insert(.unavailable) }
    if !refused.isEmpty { return .failure(refused) }
    if let size {
      if ingest.total != 0, ingest.total != size { ingest = Ingest() }
      ingest.total = size
    }
    ingest.holder = number
    ingests[ref] = ingest
    writers[number] = Writer(ref: ref, size: size, blob: blob)
    return .answer(.done)
  }

  private mutating func commit(_ number: Int, _ size: Int64?, _ blob: String?, _ labels: Labels) -> Expectation<ContentAnswer> {
    guard let ref = held(number), let ingest = ingests[ref], let writer = writers[number] else { return refused(number) }
    writers[number]?.phase = .closed
    ingests[ref]?.holder = nil
    if let wanted = size ?? writer.size, wanted != Int64(ingest.bytes.utf8.count) { return .failure([.failedPrecondition]) }
    if let wanted = blob ?? writer.blob, wanted != ingest.bytes { return .failure([.failedPrecondition]) }
    ingests[ref] = nil
    if blobs[ingest.bytes] != nil { return .failure([.alreadyExists]) }
    blobs[ingest.bytes] = labels
    return .answer(.digest(Self.digest(ingest.bytes)))
  }

  /// What is there when the store's process has ended: no writer is open any more.
  package var afterTheEnd: ContentModel {
    var model = self
    for number in writers.keys { model.writers[number]?.phase = .closed }
    for ref in ingests.keys { model.ingests[ref]?.holder = nil }
    return model
  }
  package func with(_ ref: String, followedBy text: String) -> ContentModel {
    var model = self
    model.ingests[ref]?.bytes += text
    return model
  }
  package func without(_ ref: String) -> ContentModel {
    var model = self
    model.ingests[ref] = nil
    return model
  }

  /// The ref that a writer holds.
  package func held(_ number: Int) -> String? {
    guard let writer = writers[number], writer.phase == .open, ingests[writer.ref]?.holder == number else { return nil }
    return writer.ref
  }

  private func refused(_ number: Int) -> Expectation<ContentAnswer> {
    // A writer that is of no use any more says so; whether as gone or as closed depends on which call it noticed first.
    .failure([.notFound, .failedPrecondition])
  }

  private mutating func using(_ number: Int, _ body: (inout Ingest) -> Expectation<ContentAnswer>) -> Expectation<ContentAnswer> {
    guard let ref = held(number), var ingest = ingests[ref] else { return refused(number) }
    let expected = body(&ingest)
    ingests[ref] = ingest
    return expected
  }
}
