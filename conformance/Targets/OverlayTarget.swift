import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import Hashing
import LayerArchive
import LocalContentStore
import OverlaySnapshotter
import Protocols
import SystemKit
import TestSupport

extension Target {
  /// `inproc:overlay`: the local content store, the overlay snapshotter, and the applier and differ of this package, on real files. Needs root.
  static func overlay(_ address: String) -> Target {
    var target = Target(
      address: address, capabilities: [.truncation, .openReaders, .sha512, .closing, .files, .longNames, .tmpfile, .inodeStable, .handedContent])
    target.offerVictims()
    target[ContentSubject.self] = { workspace in
      ContentSubject(store: try LocalContentStore(root: workspace.directory + "/content")) { Digest.of($0, $1) }
    }
    target[SnapshotSubject.self] = { workspace in
      try needRoot()
      return SnapshotSubject(
        snapshotter: try OverlaySnapshotter(root: workspace.directory + "/s"), trees: MountingTrees(mountPoint: workspace.directory + "/mnt"))
    }
    target[MountSubject.self] = { workspace in
      try needRoot()
      return try .overlay(in: workspace, access: MountingTrees(mountPoint: workspace.directory + "/mnt"))
    }
    target[LayerSubject.self] = { workspace in
      try needRoot()
      let root = workspace.directory
      for name in ["apply", "diff"] { try Files.makeDirectories("\(root)/\(name)") }
      return LayerSubject(
        applier: ArchiveApplier(mountPoint: root + "/apply"), differ: ArchiveDiffer(mountPoint: root + "/diff"),
        content: try LocalContentStore(root: root + "/content"), snapshotter: try OverlaySnapshotter(root: root + "/snapshots"),
        trees: MountingTrees(mountPoint: root + "/tree")
      ) { Digest.of($0) }
    }
    return target
  }
}

/// Mounts need it.
func needRoot() throws {
  if geteuid() != 0 { throw CaseSkipped(.privilege, "mounting needs root; run as root, or in a user namespace: unshare -Urm containerd-conformance …") }
}

extension MountSubject {
  /// The overlay snapshotter in the workspace, its mounts performed by `access`.
  static func overlay(in workspace: Workspace, access: any TreeAccess) throws -> MountSubject {
    let plain = workspace.directory + "/plain"
    try Files.makeDirectories(plain)
    let record = workspace.record
    return MountSubject(
      snapshotter: try OverlaySnapshotter(root: workspace.directory + "/s"), access: access,
      plainAccess: MountingTrees(mountPoint: workspace.directory + "/plain-mnt"), plain: plain
    ) { record.add($0, command: $1, outcome: $2) }
  }
}
