import OverlaySnapshotter
import Protocols
import SnapshotIndex
import SystemKit

extension FuseSnapshotter {
  /// Whether there are snapshots that are unions. Blocking.
  public static func hasUnions(_ root: String) throws -> Bool {
    Files.exists("\(root)/union") ? try Files.names(in: "\(root)/union").contains { (Int64($0) ?? 0) > 0 } : false
  }

  /// Why a directory must be served by this snapshotter and no other: in the plain directory of a layer that is lazy there is nothing, and what is written to
  /// by a union must not be written to by the kernel as well. nil if there is no reason. Blocking.
  public static func claim(on root: String) throws -> String? {
    do {
      for (entry, lowers) in try OverlaySnapshotter.contents(of: root) {
        let directory = OverlaySnapshotter.directory(entry.id, in: root)
        if try LazyRecord.read(in: directory) != nil, !Graduation.isDone(directory) { return "\(directory) is a lazy layer" }
        // Made onto such a layer, before that had a directory; of no account any more for one that is committed.
        if entry.info.kind != .committed, lowers?.contains(where: { $0.hasPrefix("\(root)/lazy/") }) == true { return "\(directory) stands on a lazy layer" }
      }
      if let union = Files.exists("\(root)/union") ? try Files.names(in: "\(root)/union").first : nil { return "\(root)/union/\(union) is a union in FUSE" }
      return nil
    } catch let error as SystemError { throw ContainerdError(.unknown, "snapshotter \(root): \(error)") }
  }
}
