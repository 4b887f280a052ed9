import Protocols

/// Draws operations that are worth doing in a state.
package struct SnapshotGenerator: Sendable {
  /// Whether files can be changed and looked at.
  package var files = false
  /// Whether questions about all keys at once may be asked: they cannot where others work at the same time.
  package var walks = true
  package var names = (0..<14).map { String(UnicodeScalar(UInt8(97 + $0))) }
  /// Whether chains of few keys are built and taken apart again and again: shapes that need four calls about the same keys.
  package var chains = false
  package init(files: Bool = false, walks: Bool = true) {
    self.files = files
    self.walks = walks
  }

  /// One of the ways to draw, for a whole attempt: what one seldom makes the other makes all the time.
  package static func one(of attempt: Attempt, files: Bool) -> SnapshotGenerator {
    var generator = SnapshotGenerator(files: files)
    if attempt.chance(50) {
      generator.chains = true
      generator.names = Array(generator.names.prefix(5))
    }
    return generator
  }

  private enum Verb { case prepare, view, commit, remove, stat, update, walk, mounts, usage, cleanup, change, look }

  package func draw(_ attempt: Attempt, _ model: SnapshotModel) -> SnapshotOperation {
    let actives = key(model) { $0.kind == .active }
    let committed = key(model) { $0.kind == .committed }
    let any = key(model) { _ in true }
    let free = names.filter { model.snapshots[$0] == nil }
    let mounted = key(model) { $0.kind != .committed }
    var verbs: [(Int, Verb)] = [(20, .prepare), (14, .commit), (12, .remove), (6, .view), (6, .stat), (6, .update), (4, .mounts), (2, .usage)]
    if chains { verbs += [(14, .commit), (18, .remove)] }
    if walks { verbs += [(5, .walk), (1, .cleanup)] } else { verbs += [(14, .update)] }
    if files { verbs += [(14, .change), (6, .look)] }
    switch attempt.weighted(verbs) {
    case .prepare: return .prepare(pick(attempt, free), parent: parent(attempt, committed), labels(attempt))
    case .view: return .view(pick(attempt, free), parent: parent(attempt, committed), labels(attempt))
    case .commit:
      let key = pick(attempt, actives)
      return .commit(pick(attempt, free), key: key, labels(attempt))
    case .remove:
      // Leaves half of the time or more: what is removed at last was a parent before.
      let leaves = attempt.chance(chains ? 80 : 50) ? any.filter { !model.hasChildren($0) } : any
      return .remove(pick(attempt, leaves))
    case .stat: return .stat(pick(attempt, any))
    case .update:
      let key = pick(attempt, any)
      let labels = labels(attempt)
      return .update(key, labels, mask: attempt.one(of: [["labels.l"], ["labels"], ["labels.m"], ["labels.l", "labels.m"], []]))
    case .walk:
      let name = pick(attempt, any)
      return .walk(
        attempt.one(of: [
          [], ["kind==active"], ["kind==committed"], ["parent==\(name)"], ["name==\(name)"], ["labels.l"], ["labels.l==1", "kind==view"],
        ]))
    case .mounts: return .mounts(pick(attempt, mounted))
    case .usage: return .usage(pick(attempt, any))
    case .cleanup: return .cleanup
    case .change:
      let key = pick(attempt, actives, always: true)
      guard var tree = model.snapshots[key]?.tree, model.snapshots[key]?.kind == .active else { return .look(key) }
      var changes: [FileChange] = []
      for _ in 0...attempt.draw(4) {
        let change = FileChange.draw(attempt, tree)
        tree.apply(change)
        changes.append(change)
      }
      return .change(key, changes)
    case .look: return .look(pick(attempt, mounted))
    }
  }

  private func key(_ model: SnapshotModel, _ matches: (SnapshotModel.Snapshot) -> Bool) -> [String] {
    names.filter { model.snapshots[$0].map(matches) ?? false }
  }

  /// A name: mostly one of the wanted, at times any. The wanted one nearest to what is drawn: so it stays when others come and go.
  private func pick(_ attempt: Attempt, _ wanted: [String], always: Bool = false) -> String {
    let astray = attempt.chance(20) && !always
    let drawn = names[attempt.draw(names.count)]
    return astray ? drawn : wanted.first { $0 >= drawn } ?? wanted.first ?? drawn
  }

  private func parent(_ attempt: Attempt, _ committed: [String]) -> String? { attempt.chance(75) ? pick(attempt, committed) : nil }

  private func labels(_ attempt: Attempt) -> Labels {
    var labels: Labels = [:]
    for key in ["l", "m"] where attempt.chance(25) { labels[key] = "\(attempt.draw(3) + 1)" }
    return labels
  }
}
