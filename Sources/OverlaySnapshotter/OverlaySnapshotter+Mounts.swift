import Protocols
import SnapshotIndex
import SystemKit

extension OverlaySnapshotter {
  /// The mounts of an active snapshot or a view: of the entry, and of where its layers were when it was made.
  ///
  /// Without parents there is nothing to overlay: a bind of the directory. A view of a single parent is a bind of that parent. Everything
  /// else is an overlay, without an upper directory for views.
  /// - Parameter known: where its layers are, if that need not be read.
  func mounts(of entry: SnapshotEntry, lowers known: [String]? = nil) throws -> [Mount] {
    let writable = entry.info.kind == .active
    let lowers = try known ?? lowers(of: entry)
    guard let nearest = lowers.first else {
      return [Mount(type: "bind", source: upper(entry.id), options: [writable ? "rw" : "ro", "rbind"])]
    }
    if !writable && lowers.count == 1 {
      return [Mount(type: "bind", source: nearest, options: ["ro", "rbind"])]
    }
    var options = mountOptions
    if let stacking {
      guard writable, wasMounted(entry.id), case .works(let kernels) = OverlayProbe.ask(root: root) else {
        return try system("snapshot \(entry.info.name)") {
          try stacking.mounts(of: entry.id, writable: writable, lowers: lowers, upper: upper(entry.id), work: "\(directory(entry.id))/work")
        }
      }
      options = kernels
    }
    if writable {
      options.append("workdir=\(directory(entry.id))/work")
      options.append("upperdir=\(upper(entry.id))")
    }
    options.append("lowerdir=" + lowers.joined(separator: ":"))
    return [Mount(type: "overlay", source: "overlay", options: options)]
  }

  /// Whether the kernel has had an overlay that writes there, and maybe has it still, if it can have one: two that write into one directory contradict each
  /// other. It makes this directory when it mounts one.
  public func wasMounted(_ id: Int64) -> Bool { Files.exists("\(directory(id))/work/work") }

  /// Directories of the parents, nearest first.
  private func lowers(of entry: SnapshotEntry) throws -> [String] {
    if places == nil { return entry.parents.map(upper) }
    return try system("snapshot \(entry.info.name)") { try Self.notedLowers(entry.id, in: root) } ?? entry.parents.map(upper)
  }

  static func notedLowers(_ id: Int64, in root: String) throws(SystemError) -> [String]? {
    let path = noteOfLowers(id, in: root)
    if !Files.exists(path) { return nil }
    return String(decoding: try Files.read(path), as: UTF8.self).split(separator: "\n").map(String.init)
  }
}
