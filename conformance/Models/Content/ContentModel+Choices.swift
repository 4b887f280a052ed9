import ConformanceSuites
import Protocols

/// What the contract leaves open, or the way to the store adds.
extension ContentModel {
  package func outcomes(of operation: ContentOperation) -> [Outcome<Self>] {
    var all: [Outcome<Self>] = []
    func add(_ change: (inout Self) -> Expectation<ContentAnswer>?) {
      var next = self
      if let expected = change(&next) { all.append(Outcome(expected, next)) }
    }
    if let number = operation.writer, let writer = writers[number] {
      switch writer.phase {
      case .linked(let blob) where holds(number) != nil: add { $0.link(operation, number, writer, blob) }
      case .unaware(let ingest): return unaware(operation, number, writer, ingest)
      default: add { $0.expects(operation) }
      }
      if rules.wire { add { $0.superfluous(operation, number, writer) } }
      if rules.wire, writer.phase == .aborted, case .write(_, _, .some) = operation {
        // The stream's own end knows where it is, and that an offset is wrong, before it asks.
        add { _ in .failure([.outOfRange]) }
      }
      if rules.wire || ingests[writer.ref]?.total == 0, case .writerStatus = operation { add { $0.ownExpectation(number, writer) } }
      return all
    }
    switch operation {
    case .open(let number, let ref, let size, let blob):
      if isBlocked(ref) {
        add { $0.blocked(ref, blob) }
        return all
      }
      add { $0.expects(operation) }
      if refusals(ref, blob).isEmpty {
        // Whether an ingest that began without an expected size takes one from a later opening is left open.
        if let ingest = ingests[ref], ingest.told, ingest.total == 0, size != nil {
          add {
            $0.ingests[ref]?.holder = number
            $0.writers[number] = Writer(ref: ref, size: size, blob: blob)
            return .answer(.done)
          }
        }
        if together {
          // Whoever aborts the ingest while it is opened may have the opening answered so.
          add {
            _ = $0.expects(operation)
            return .failure([.notFound])
          }
        }
        if let blob, deleted.contains(blob), size == nil || size == Int64(blob.utf8.count) { add { $0.openLinked(number, ref, size, blob) } }
      }
    case .abort(let ref):
      if let ingest = ingests[ref], !ingest.told, !rules.abortsWin {
        // An ingest of which there is nothing but a name is gone, or never was.
        add {
          $0.ingests[ref] = nil
          return .failure([.notFound])
        }
      }
      add { $0.expects(operation) }
      if let ingest = ingests[ref], let holder = ingest.holder, !rules.abortsWin {
        add {
          $0.ingests[ref] = nil
          $0.writers[holder]?.phase = .unaware(ingest)
          return .answer(.done)
        }
      }
    default: add { $0.expects(operation) }
    }
    return all
  }

  // MARK: links

  /// The bytes are there without a name: a writer may begin with them.
  private mutating func openLinked(_ number: Int, _ ref: String, _ size: Int64?, _ blob: String) -> Expectation<ContentAnswer> {
    if ingests[ref] == nil { ingests[ref] = Ingest(told: false) }
    ingests[ref]?.holder = number
    writers[number] = Writer(ref: ref, size: size, blob: blob, phase: .linked(blob))
    return .answer(.done)
  }

  private mutating func link(_ operation: ContentOperation, _ number: Int, _ writer: Writer, _ blob: String) -> Expectation<ContentAnswer> {
    let size = Int64(blob.utf8.count)
    switch operation {
    case .write(_, let text, let offset):
      if let offset, offset != size { return .failure([.outOfRange]) }
      unlink(number, writer.ref, blob + text)
      return .answer(.done)
    case .startOver:
      if size > 0 { unlink(number, writer.ref, "") }
      return .answer(.done)
    case .writerStatus: return .answer(.ingest(IngestFacts(ref: writer.ref, offset: size, total: size)))
    case .commit(_, let wantedSize, let wanted, let labels):
      writers[number]?.phase = .closed
      ingests[writer.ref]?.holder = nil
      if let wantedSize, wantedSize != size { return .failure([.failedPrecondition]) }
      if let wanted, wanted != blob { return .failure([.failedPrecondition]) }
      ingests[writer.ref] = nil
      return named(blob, labels)
    default: return expects(operation)
    }
  }

  /// The writer uploads from now on, beginning with these bytes.
  private mutating func unlink(_ number: Int, _ ref: String, _ bytes: String) {
    writers[number]?.phase = .open
    ingests[ref]?.bytes = bytes
    ingests[ref]?.told = true
  }

  // MARK: streams

  /// A message with the digest of a blob that is there by now is answered with that, and the ingest is dropped.
  private mutating func superfluous(_ operation: ContentOperation, _ number: Int, _ writer: Writer) -> Expectation<ContentAnswer>? {
    guard let ref = holds(number) else { return nil }
    let named: String?
    switch operation {
    case .commit(_, _, let blob, _): named = blob
    case .close: named = nil
    default: named = writer.blob
    }
    guard let named, blobs[named] != nil else { return nil }
    ingests[ref] = nil
    writers[number]?.phase = .closed
    return .failure([.alreadyExists])
  }

  /// A stream tells the size that its own opening expected; so may the writer of an ingest that began without one.
  private mutating func ownExpectation(_ number: Int, _ writer: Writer) -> Expectation<ContentAnswer>? {
    let offset: Int
    switch writer.phase {
    case .linked(let blob): offset = blob.utf8.count
    case .open: offset = ingests[writer.ref]?.bytes.utf8.count ?? 0
    default: return nil
    }
    guard holds(number) != nil else { return nil }
    return .answer(.ingest(IngestFacts(ref: writer.ref, offset: Int64(offset), total: writer.size ?? 0)))
  }

  // MARK: aborts that are not noticed

  private func isBlocked(_ ref: String) -> Bool {
    writers.values.contains { if case .unaware = $0.phase { $0.ref == ref } else { false } }
  }

  private mutating func blocked(_ ref: String, _ blob: String?) -> Expectation<ContentAnswer> {
    if ingests[ref] == nil { ingests[ref] = Ingest(told: false) }
    return .failure(refusals(ref, blob).union([.unavailable]))
  }

  /// It goes on as if nothing had happened, until it commits.
  private func unaware(_ operation: ContentOperation, _ number: Int, _ writer: Writer, _ ingest: Ingest) -> [Outcome<Self>] {
    var next = self
    var kept = ingest
    func now(_ phase: Writer.Phase) { next.writers[number]?.phase = phase }
    switch operation {
    case .write(_, let text, let offset):
      if let offset, offset != Int64(ingest.bytes.utf8.count) { return [Outcome(.failure([.outOfRange]), self)] }
      kept.bytes += text
      now(.unaware(kept))
      return [Outcome(.answer(.done), next)]
    case .startOver:
      kept.bytes = ""
      now(.unaware(kept))
      return [Outcome(.answer(.done), next)]
    case .writerStatus:
      return Set([ingest.total, writer.size ?? 0]).sorted().map { total in
        Outcome(.answer(.ingest(IngestFacts(ref: writer.ref, offset: Int64(ingest.bytes.utf8.count), total: total))), next)
      }
    case .commit(_, let size, let blob, let labels):
      now(.closed)
      let failed = Outcome(.failure([.unknown, .notFound, .failedPrecondition, .alreadyExists]), next)
      // Where the same bytes are in the store under another name, it gives them this one.
      let fits = (size ?? writer.size).map { $0 == Int64(ingest.bytes.utf8.count) } ?? true
      guard fits, (blob ?? writer.blob).map({ $0 == ingest.bytes }) ?? true else { return [failed] }
      let expected = next.named(ingest.bytes, labels)
      return [failed, Outcome(expected, next)]
    default:
      now(.closed)
      return [Outcome(.answer(.done), next)]
    }
  }
}
