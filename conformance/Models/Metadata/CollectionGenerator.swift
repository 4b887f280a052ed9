import Protocols

/// Draws operations on collections.
package struct CollectionGenerator: Sendable {
  package typealias Kind = CollectionOperation.Kind
  package var names: [String]
  package var kinds: [Kind]
  /// Whether what is there is deleted more often.
  package var removes = false

  /// Mostly one kind for a whole attempt: what meets is what shares a name.
  package init(_ attempt: Attempt, names: [String]) {
    self.names = names
    kinds = attempt.chance(25) ? Kind.allCases : [attempt.one(of: Kind.allCases)]
  }

  private enum Verb { case create, get, update, delete, list, hold, letGo, held }

  package func draw(_ attempt: Attempt, _ model: CollectionModel) -> CollectionOperation {
    let kind = attempt.one(of: kinds)
    let name = attempt.one(of: names)
    let isThere = model.names(kind).contains(name)
    var verbs: [(Int, Verb)] = [(isThere ? 8 : 24, .create), (8, .get), (isThere ? (removes ? 24 : 10) : 4, .delete), (3, .list)]
    if kind == .lease { verbs += [(16, .hold), (5, .letGo), (8, .held)] } else { verbs.append((isThere ? 34 : 4, .update)) }
    let verb = attempt.weighted(verbs)
    let number = attempt.draw(CollectionDriver.numbers.count) + 1
    switch verb {
    case .create: return .create(kind, name, labels(attempt), number)
    case .get: return .get(kind, name)
    case .update: return .update(kind, name, labels(attempt), number, mask: mask(attempt, kind))
    case .delete: return .delete(kind, name)
    case .list: return .list(kind)
    case .hold: return .hold(lease: name, number)
    case .letGo: return .letGo(lease: name, number)
    case .held: return .held(lease: name)
    }
  }

  private func mask(_ attempt: Attempt, _ kind: Kind) -> [String] {
    var masks = [["labels.l"], ["labels.m"], ["labels.l", "labels.m"], ["labels"]]
    if kind != .namespace { masks += [["value"], ["value"], ["labels.l", "value"]] }
    masks.append([])
    return attempt.one(of: masks)
  }

  private func labels(_ attempt: Attempt) -> Labels {
    var labels: Labels = [:]
    for key in ["l", "m"] where attempt.chance(60) { labels[key] = "\(attempt.draw(3) + 1)" }
    return labels
  }
}
