import Protocols
import SnapshotIndex

extension OverlaySnapshotter {
  /// The mounts of an active snapshot or a view, a pure function of the entry.
  ///
  /// Without parents there is nothing to overlay: a bind of the directory. A view of a single parent is a bind of that parent. Everything
  /// else is an overlay, without an upper directory for views.
  func mounts(of entry: SnapshotEntry) -> [Mount] {
    let writable = entry.info.kind == .active
    guard let nearest = entry.parents.first else {
      return [Mount(type: "bind", source: upper(entry.id), options: [writable ? "rw" : "ro", "rbind"])]
    }
    if !writable && entry.parents.count == 1 {
      return [Mount(type: "bind", source: upper(nearest), options: ["ro", "rbind"])]
    }
    var options = mountOptions
    if writable {
      options.append("workdir=\(directory(entry.id))/work")
      options.append("upperdir=\(upper(entry.id))")
    }
    options.append("lowerdir=" + entry.parents.map(upper).joined(separator: ":"))
    return [Mount(type: "overlay", source: "overlay", options: options)]
  }
}
