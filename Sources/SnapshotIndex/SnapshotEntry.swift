import Protocols

/// One snapshot as the index has it.
public struct SnapshotEntry: Hashable, Sendable {
  /// Names the snapshot's directory.
  public let id: Int64
  /// Numbers of the parents, nearest first.
  public let parentIDs: [Int64]
  public let info: SnapshotInfo
  /// What a committed snapshot took when it was committed, or what `setUsage` stored.
  public let usage: SnapshotUsage
}
