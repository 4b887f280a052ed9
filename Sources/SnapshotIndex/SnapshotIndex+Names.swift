import Protocols

// Other words for the same things, in use by OverlaySnapshotter.

extension SnapshotIndex {
  public func create(
    _ kind: SnapshotInfo.Kind, key: String, parent: String?, labels: Labels, beforeCommit: (SnapshotEntry) throws -> Void
  ) throws -> SnapshotEntry {
    try create(kind: kind, key: key, parent: parent, labels: labels, beforeCommit: beforeCommit)
  }

  public func all() throws -> [SnapshotInfo] {
    var infos: [SnapshotInfo] = []
    try walk { infos.append($0) }
    return infos
  }

  public func committedNumbers() throws -> Set<Int64> { try committedIDs() }

  public func numbers() throws -> Set<Int64> { try allIDs() }
}

extension SnapshotEntry {
  public var parents: [Int64] { parentIDs }
}
