import Protocols

/// The contract of `Snapshotter` as a state machine: keys of one space, each with a kind, a parent and labels.
package struct SnapshotModel: SequentialModel {
  package struct Snapshot: Hashable, Sendable {
    package var kind: SnapshotInfo.Kind
    package var parent: String?
    package var labels: Labels
    package var tree = FileTree()
  }
  package private(set) var snapshots: [String: Snapshot] = [:]
  package init() {}

  package func facts(_ key: String) -> SnapshotFacts? {
    snapshots[key].map { SnapshotFacts(kind: $0.kind, name: key, parent: $0.parent, labels: $0.labels) }
  }
  package var infos: Set<SnapshotFacts> { Set(snapshots.keys.compactMap(facts)) }
  package func hasChildren(_ key: String) -> Bool { snapshots.values.contains { $0.parent == key } }

  package mutating func expects(_ operation: SnapshotOperation) -> Expectation<SnapshotAnswer> {
    switch operation {
    case .prepare(let key, let parent, let labels): return make(.active, key, parent, labels)
    case .view(let key, let parent, let labels): return make(.view, key, parent, labels)
    case .commit(let name, let key, let labels):
      var refused: Set<ContainerdError.Code> = []
      if snapshots[name] != nil { refused.insert(.alreadyExists) }
      guard var snapshot = snapshots[key] else { return .failure(refused.union([.notFound])) }
      if snapshot.kind != .active { refused.insert(.failedPrecondition) }
      if !refused.isEmpty { return .failure(refused) }
      snapshot.kind = .committed
      snapshot.labels = labels
      snapshots[key] = nil
      snapshots[name] = snapshot
      return .answer(.done)
    case .remove(let key):
      if snapshots[key] == nil { return .failure([.notFound]) }
      if hasChildren(key) { return .failure([.failedPrecondition]) }
      snapshots[key] = nil
      return .answer(.done)
    case .stat(let key): return facts(key).map { .answer(.info($0)) } ?? .failure([.notFound])
    case .update(let key, let labels, let mask):
      guard let old = snapshots[key] else { return .failure([.notFound]) }
      snapshots[key]?.labels = FieldMask(mask).updatedLabels(of: old.labels, from: labels)
      return facts(key).map { .answer(.info($0)) } ?? .failure([.notFound])
    case .walk(let filters):
      guard let set = try? FilterSet(parsing: filters) else { return .failure([.invalidArgument]) }  // what is no filter matches nothing: it is refused
      return .answer(.infos(infos.filter { set.matches($0.info) }))
    case .mounts(let key):
      guard let snapshot = snapshots[key] else { return .failure([.notFound]) }
      return snapshot.kind == .committed ? .failure([.failedPrecondition]) : .answer(.mounts(writable: snapshot.kind == .active))
    case .usage(let key): return snapshots[key] == nil ? .failure([.notFound]) : .answer(.done)
    case .cleanup: return .answer(.done)
    case .change(let key, let changes):
      guard let snapshot = snapshots[key] else { return .failure([.notFound]) }
      if snapshot.kind != .active { return .failure([.failedPrecondition]) }
      for change in changes { snapshots[key]?.tree.apply(change) }
      return .answer(.done)
    case .look(let key):
      guard let snapshot = snapshots[key] else { return .failure([.notFound]) }
      return snapshot.kind == .committed ? .failure([.failedPrecondition]) : .answer(.files(snapshot.tree))
    }
  }

  private mutating func make(_ kind: SnapshotInfo.Kind, _ key: String, _ parent: String?, _ labels: Labels) -> Expectation<SnapshotAnswer> {
    var refused: Set<ContainerdError.Code> = []
    if snapshots[key] != nil { refused.insert(.alreadyExists) }
    var tree = FileTree()
    if let parent {
      if let below = snapshots[parent] {
        if below.kind != .committed { refused.formUnion([.failedPrecondition, .invalidArgument]) }
        tree = below.tree
      } else {
        refused.insert(.notFound)
      }
    }
    if !refused.isEmpty { return .failure(refused) }
    snapshots[key] = Snapshot(kind: kind, parent: parent, labels: labels, tree: tree)
    return .answer(.mounts(writable: kind == .active))
  }
}
