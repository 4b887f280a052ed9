import ConformanceSuites
import Protocols

/// Draws operations on a content store that are worth doing in a state.
package struct ContentGenerator: Sendable {
  package var refs = ["r", "s", "t"]
  package var walks = true
  /// Writers of other clients are not ours to use.
  package var mine: Set<Int>?
  /// Whether openings may say what they expect.
  package var expectations = true
  package init() {}

  /// Short texts, so that the same blob is made in different ways.
  private static let texts = ["", "a", "b", "ab", "ba", "aab", "abb"]
  private enum Verb { case open, write, startOver, writerStatus, commit, close, status, statuses, abort, info, update, read, walk, delete }

  package func draw(_ attempt: Attempt, _ model: ContentModel, next writer: Int) -> ContentOperation {
    let usable = model.writers.keys.filter { mine?.contains($0) ?? true }.sorted()
    let open = usable.filter { model.holds($0) != nil }
    let stale = usable.filter { model.holds($0) == nil }
    var verbs: [(Int, Verb)] = [(14, .open), (4, .abort), (3, .status), (4, .info), (3, .update), (4, .read), (8, .delete)]
    if walks { verbs += [(3, .walk), (3, .statuses)] }
    if !usable.isEmpty { verbs += [(30, .write), (16, .commit), (5, .close), (7, .writerStatus), (6, .startOver)] }
    let verb = attempt.weighted(verbs)
    // Mostly a writer that holds its ref, at times one that does not any more.
    func used() -> Int {
      let drawn = attempt.draw(16)
      let group = attempt.chance(10) && !stale.isEmpty ? stale : open.isEmpty ? usable : open
      return group[drawn % group.count]
    }
    switch verb {
    case .open:
      let ref = attempt.one(of: refs)
      var size = attempt.chance(25) ? Int64(attempt.draw(3) + 1) : nil
      if !expectations || (!model.rules.startsAnew && model.ingests[ref] != nil) { size = nil }
      var blob = attempt.chance(20) ? attempt.one(of: Self.texts) : nil
      if let name = blob, !expectations || (model.rules.linking == .unknown && model.blobs[name] == nil) { blob = nil }
      return .open(writer, ref: ref, size: size, blob: blob)
    case .write:
      let writer = used()
      let offset = model.held(writer).flatMap { model.facts(ref: $0)?.offset } ?? 0
      // Mostly the same text: the same blob is made again after its deletion.
      return .write(writer, attempt.weighted([(4, "a"), (1, "b")]), at: attempt.one(of: [nil, offset, nil, offset, offset + 1, 0]))
    case .startOver: return .startOver(used())
    case .writerStatus: return .writerStatus(used())
    case .commit:
      let writer = used()
      let bytes = model.held(writer).flatMap { model.ingests[$0]?.bytes } ?? ""
      let labels: Labels = attempt.chance(30) ? ["l": "\(attempt.draw(3) + 1)"] : [:]
      switch attempt.draw(5) {
      case 0, 1: return .commit(writer, size: nil, blob: nil, labels)
      case 2: return .commit(writer, size: bytes.isEmpty ? nil : Int64(bytes.utf8.count), blob: bytes, labels)
      case 3: return .commit(writer, size: Int64(bytes.utf8.count + 1), blob: nil, labels)
      default: return .commit(writer, size: nil, blob: attempt.one(of: Self.texts), labels)
      }
    case .close: return .close(used())
    case .status: return .status(attempt.one(of: refs))
    case .statuses: return .statuses
    case .abort: return .abort(attempt.one(of: refs))
    case .info: return .info(blob(attempt, model))
    case .update:
      let mask = attempt.one(of: [["labels.l"], ["labels"], []])
      return .update(blob(attempt, model), ["l": "\(attempt.draw(3) + 1)"], mask: mask)
    case .read: return .read(blob(attempt, model), at: Int64(attempt.draw(4)), count: attempt.draw(4) + 1)
    case .walk: return .walk(attempt.one(of: [[], ["labels.l"], ["labels.l==1"], ["size==1"]]))
    case .delete: return .delete(blob(attempt, model))
    }
  }

  private func blob(_ attempt: Attempt, _ model: ContentModel) -> String {
    let drawn = attempt.draw(Self.texts.count)
    let there = model.blobs.keys.sorted()
    return there.isEmpty || attempt.chance(25) ? Self.texts[drawn] : there[drawn % there.count]
  }
}
