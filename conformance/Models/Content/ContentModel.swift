import ConformanceSuites
import Hashing
import Protocols

/// The contract of `ContentStore` as a state machine. Blobs are texts; writers are numbers.
///
/// `expects` is what a store without a namespace or a wire does; what else the rules of a store allow stands in `ContentModel+Choices`.
package struct ContentModel: SequentialModel {
  package struct Ingest: Hashable, Sendable {
    package var bytes = ""
    package var total: Int64 = 0
    package var holder: Int?
    /// Whether the store can tell of it: an ingest that only a linking writer opened has no bytes to tell of.
    package var told = true
  }
  package struct Writer: Hashable, Sendable {
    package enum Phase: Hashable, Sendable {
      case open, closed, aborted
      /// Complete from the start, with the bytes of a blob that another name keeps.
      case linked(String)
      /// Its ingest was aborted, and it does not know.
      case unaware(Ingest)
    }
    package var ref: String
    package var size: Int64?
    package var blob: String?
    package var phase = Phase.open
  }
  package let rules: ContentRules
  /// Whether others are at work at the same time.
  package let together: Bool
  /// Labels of blobs, by their bytes.
  package internal(set) var blobs: [String: Labels] = [:]
  /// Blobs whose bytes may still be there, without a name.
  package internal(set) var deleted: Set<String> = []
  package internal(set) var ingests: [String: Ingest] = [:]
  package internal(set) var writers: [Int: Writer] = [:]
  package init(_ rules: ContentRules = .store, together: Bool = false) {
    self.rules = rules
    self.together = together
  }

  package static func digest(_ text: String) -> Digest { Digest.of(Array(text.utf8)) }

  package func facts(_ blob: String) -> BlobFacts? {
    blobs[blob].map { BlobFacts(digest: Self.digest(blob), size: Int64(blob.utf8.count), labels: $0) }
  }
  package func facts(ref: String) -> IngestFacts? {
    ingests[ref].flatMap { $0.told ? IngestFacts(ref: ref, offset: Int64($0.bytes.utf8.count), total: $0.total) : nil }
  }
  package var allBlobs: Set<BlobFacts> { Set(blobs.keys.compactMap(facts)) }
  package var allIngests: Set<IngestFacts> { Set(ingests.keys.compactMap { facts(ref: $0) }) }

  package mutating func expects(_ operation: ContentOperation) -> Expectation<ContentAnswer> {
    switch operation {
    case .open(let number, let ref, let size, let blob): return open(number, ref, size, blob)
    case .close(let number):
      if let ref = holds(number) { ingests[ref]?.holder = nil }
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
      return refused
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
    case .delete(let blob):
      if blobs.removeValue(forKey: blob) == nil { return .failure([.notFound]) }
      if rules.linking != .never { deleted.insert(blob) }
      return .answer(.done)
    }
  }

  private mutating func open(_ number: Int, _ ref: String, _ size: Int64?, _ blob: String?) -> Expectation<ContentAnswer> {
    let refused = refusals(ref, blob)
    if !refused.isEmpty { return .failure(refused) }
    var ingest = ingests[ref] ?? Ingest()
    if let size {
      if ingest.total != 0, ingest.total != size { ingest = Ingest() }
      ingest.total = size
    }
    ingest.holder = number
    ingest.told = true
    ingests[ref] = ingest
    writers[number] = Writer(ref: ref, size: size, blob: blob)
    return .answer(.done)
  }

  /// Why a ref cannot be opened.
  func refusals(_ ref: String, _ blob: String?) -> Set<ContainerdError.Code> {
    var refused: Set<ContainerdError.Code> = []
    if let blob, blobs[blob] != nil { refused.insert(.alreadyExists) }
    if ingests[ref]?.holder != nil { refused.insert(.unavailable) }
    return refused
  }

  private mutating func commit(_ number: Int, _ size: Int64?, _ blob: String?, _ labels: Labels) -> Expectation<ContentAnswer> {
    guard let ref = held(number), let ingest = ingests[ref], let writer = writers[number] else { return refused }
    writers[number]?.phase = .closed
    ingests[ref]?.holder = nil
    if let wanted = size ?? writer.size, wanted != Int64(ingest.bytes.utf8.count) { return .failure([.failedPrecondition]) }
    if let wanted = blob ?? writer.blob, wanted != ingest.bytes { return .failure([.failedPrecondition]) }
    ingests[ref] = nil
    return named(ingest.bytes, labels)
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

  /// The bytes become a blob, if they are none.
  mutating func named(_ bytes: String, _ labels: Labels) -> Expectation<ContentAnswer> {
    if blobs[bytes] != nil { return .failure([.alreadyExists]) }
    blobs[bytes] = labels
    return .answer(.digest(Self.digest(bytes)))
  }

  /// The ref that a writer holds, whether it uploads or links.
  package func holds(_ number: Int) -> String? {
    guard let writer = writers[number], ingests[writer.ref]?.holder == number else { return nil }
    return writer.ref
  }
  /// The ref that a writer holds, if it uploads.
  package func held(_ number: Int) -> String? { writers[number]?.phase == .open ? holds(number) : nil }

  /// A writer that is of no use any more says so; whether as gone or as closed depends on which call it noticed first.
  var refused: Expectation<ContentAnswer> { .failure([.notFound, .failedPrecondition]) }

  private mutating func using(_ number: Int, _ body: (inout Ingest) -> Expectation<ContentAnswer>) -> Expectation<ContentAnswer> {
    guard let ref = held(number), var ingest = ingests[ref] else { return refused }
    let expected = body(&ingest)
    ingests[ref] = ingest
    return expected
  }
}
