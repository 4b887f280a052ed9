import Protocols
import SnapshotIndex

/// Where layers are, for whoever keeps some of them elsewhere than in their snapshots' directories.
public protocol LayerPlaces: Sendable {
  /// The directories that a new snapshot stands on, nearest first; nil if all of them are in the snapshotter's own. What is said is kept with the snapshot:
  /// its mounts stay the same. Called before the snapshot exists; blocking.
  func lowers(of entry: SnapshotEntry, in snapshotter: OverlaySnapshotter) throws -> [String]?
}
