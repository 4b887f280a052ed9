import BlockingIO
import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import EmbeddedRegistry
import FuseServer
import FuseSnapshotter
import Hashing
import LayerArchive
import LazyLayers
import LocalContentStore
import Protocols
import Synchronization
import SystemKit
import TestSupport

extension Target {
  /// `inproc:fuse[?transport=libfuse][&stacking=union]`: the FUSE snapshotter of this package in this process. As an ordinary snapshotter it is held to what
  /// the overlay snapshotter is, whose mounts the kernel's overlay performs, or our union; layers of a registry on loopback are lazy. Needs root and /dev/fuse.
  static func fuse(_ address: String) throws -> Target? {
    guard address == "inproc:fuse" || address.hasPrefix("inproc:fuse?") else { return nil }
    let site = try FuseSite(address)
    var target = Target(
      address: address,
      capabilities: [
        .closing, .files, .longNames, .tmpfile, .inodeStable, .handedContent, .remote, .source, .lazy, .credentials, .visibleLog, .visibleCache,
      ])
    // A lower file that is mapped is the same inode after its first change.
    if site.isUnion { target.capabilities.insert(.coherentMaps) }
    // libfuse 3.14 has no callback for it.
    if site.isUnion, site.transport == .libfuse { target.capabilities.remove(.tmpfile) }
    target[SnapshotSubject.self] = { workspace in
      SnapshotSubject(snapshotter: try await site.plain(in: workspace), trees: site.trees(in: workspace))
    }
    target[MountSubject.self] = { workspace in
      let plain = workspace.directory + "/plain"
      try Files.makeDirectories(plain)
      let record = workspace.record
      return MountSubject(
        snapshotter: try await site.plain(in: workspace), access: site.trees(in: workspace),
        plainAccess: MountingTrees(mountPoint: workspace.directory + "/plain-mnt"), plain: plain
      ) { record.add($0, command: $1, outcome: $2) }
    }
    target[LayerSubject.self] = { workspace in
      let root = workspace.directory
      for name in ["apply", "diff"] { try Files.makeDirectories("\(root)/\(name)") }
      return LayerSubject(
        applier: ArchiveApplier(mountPoint: root + "/apply"), differ: ArchiveDiffer(mountPoint: root + "/diff"),
        content: try LocalContentStore(root: root + "/content"), snapshotter: try await site.plain(in: workspace),
        trees: MountingTrees(mountPoint: root + "/tree")
      ) { Digest.of($0) }
    }
    target[RemoteSnapshotSubject.self] = { workspace in
      let lazy = try await site.lazy(in: workspace)
      return RemoteSnapshotSubject(
        snapshotter: lazy.snapshotter, layers: lazy.site.layers.map(\.name), absent: "\(Digest.of(Array("absent".utf8)))",
        source: RemoteSource(
          reach: { lazy.site.hands.trouble($0 ? nil : .away) }, requests: { lazy.site.registry.log.records.count }))
    }
    target[LazySubject.self] = { workspace in
      var subject = try await site.subject(in: workspace)
      subject.filling = {
        let root = workspace.directory + "/filling"
        try Files.makeDirectories(root)
        return try await site.subject(in: workspace, below: root, fills: true)
      }
      return subject
    }
    // The other transport has no successor that a server could leave its mounts to.
    if site.transport == .raw { target.offer(site.isUnion ? .ownUnion : .own) }
    return target
  }
}

extension LazyProgram {
  /// The snapshotter of this package as a program.
  static let own = program(stacking: "overlay")
  static let ownUnion = program(stacking: "union")

  private static func program(stacking: String) -> LazyProgram {
    LazyProgram(
      command: { root, socket, containerd in
        // Cases are told that a program is missing where they start it.
        let program = (try? RefDaemon.programBeside("containerd-ref")) ?? "containerd-ref"
        return .init(
          words: [
            program, "snapshotter", "serve", "--backend", "fuse", "--root", root, "--address", socket, "--containerd", containerd, "--deadline", "4",
            "--no-background", "--no-prefetch", "--stacking", stacking,
          ])
      }, stall: stacking == "union" ? 10 : 6, failsOver: true)
  }
}

/// Makes FUSE snapshotters for cases.
private struct FuseSite: Sendable {
  private(set) var transport = FuseTransport.raw
  /// Writable snapshots are unions in FUSE, served by this process, instead of the kernel's overlays.
  private(set) var isUnion = false

  init(_ address: String) throws {
    for option in address.split(separator: "?", maxSplits: 1).dropFirst().first?.split(separator: "&") ?? [] {
      switch option {
      case "transport=raw": transport = .raw
      case "transport=libfuse": transport = .libfuse
      case "stacking=overlay": isUnion = false
      case "stacking=union": isUnion = true
      default: throw SuiteError("\(address): \"\(option)\" is neither transport=raw, transport=libfuse, stacking=overlay nor stacking=union")
      }
    }
  }

  /// Seconds that a read waits for the registry.
  static let deadline = 2.0
  /// Through a union a page is asked for more than once, by whichever of its threads: for what is read ahead, for who asked, and then for the page alone.
  var stall: Double { isUnion ? 3 * Self.deadline + 2 : Self.deadline + 1.5 }

  private static func root(_ directory: String) -> String { directory + "/s" }

  func trees(in workspace: Workspace) -> any TreeAccess {
    let trees = MountingTrees(mountPoint: workspace.directory + "/mnt")
    return isUnion ? UnionTrees(trees, root: Self.root(workspace.directory)) : trees
  }

  /// Without images.
  func plain(in workspace: Workspace) async throws -> FuseSnapshotter {
    try await snapshotter(NoImages(), in: workspace, below: workspace.directory, fills: false) { _ in }
  }

  /// With one image, whose layers are in a registry.
  /// - Parameter fills: whether layers are filled by themselves, which would be counted as what was read.
  func lazy(
    in workspace: Workspace, below directory: String? = nil, fills: Bool = false
  ) async throws -> (snapshotter: FuseSnapshotter, site: LazyRegistrySite, log: CaseLog) {
    try needFuse()
    let directory = directory ?? workspace.directory
    let site = try await LazyRegistrySite.start(in: workspace, below: directory, secured: true)
    let log = CaseLog()
    let images = RegistryImages(site: site, resolver: site.resolver(in: workspace))
    return (try await snapshotter(images, in: workspace, below: directory, fills: fills) { log.add($0) }, site, log)
  }

  func subject(in workspace: Workspace, below directory: String? = nil, fills: Bool = false) async throws -> LazySubject {
    let directory = directory ?? workspace.directory
    let lazy = try await lazy(in: workspace, below: directory, fills: fills)
    let root = Self.root(directory)
    return LazySubject(
      snapshotter: lazy.snapshotter, layers: lazy.site.layers.map(\.name), registry: lazy.site.hands,
      trees: KernelTrees(MountingTrees(mountPoint: directory + "/mnt")), stall: stall * workspace.patience,
      mounted: { try MountTable.below(root) }, held: { try DiskSpace.allocated(below: root) }, log: { lazy.log.text },
      secrets: [LazyRegistrySite.password, "cmVhZGVyOmEtcGFzc3dvcmQtdGhhdC1ub2JvZHktbWF5LXNlZQ=="])
  }

  private func snapshotter(
    _ images: any LazyImages, in workspace: Workspace, below directory: String, fills: Bool, log: @escaping @Sendable (String) -> Void
  ) async throws -> FuseSnapshotter {
    try needFuse()
    let (root, transport) = (Self.root(directory), transport)
    let stacking = isUnion ? FuseSnapshotter.Stacking.union(command: nil) : .overlay
    let policy = LayerPolicy(deadline: .seconds(Self.deadline), firstPause: .milliseconds(50), longestPause: .milliseconds(500), fillsInBackground: fills)
    let snapshotter = try await DedicatedThread.run {
      try FuseSnapshotter(root: root, images: images, policy: policy, patience: .seconds(5), transport: transport, stacking: stacking, log: log)
    }
    workspace.endings.add { try await snapshotter.close() }
    return snapshotter
  }
}

/// What is bound of a union is not where its files are kept: they are in the upper directory of its snapshot.
private struct UnionTrees: TreeAccess {
  private let trees: MountingTrees
  private let unions: String
  private let root: String

  init(_ trees: MountingTrees, root: String) {
    self.trees = trees
    self.root = root
    unions = root + "/union/"
  }

  func stored(_ path: String, of mounts: [Mount]) throws -> (any StoredFile)? {
    try trees.stored(
      path,
      of: mounts.map { mount in
        guard mount.source.hasPrefix(unions), let id = mount.source.dropFirst(unions.count).split(separator: "/").first else { return mount }
        var mount = mount
        mount.source = "\(root)/snapshots/\(id)/fs"
        return mount
      })
  }

  func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any Tree) throws -> Void) async throws { try await trees.enter(mounts, body) }
}

func needFuse() throws {
  try needRoot()
  if access("/dev/fuse", R_OK | W_OK) != 0 { throw CaseSkipped(.environment, "/dev/fuse cannot be opened") }
}

/// What a snapshotter in this process logs.
final class CaseLog: Sendable {
  private let lines = Mutex<[String]>([])
  func add(_ line: String) { lines.withLock { $0.append(line) } }
  var text: String { lines.withLock { $0.joined(separator: "\n") } }
}

/// The mounts that this process sees.
enum MountTable {
  static func below(_ directory: String) throws -> [String] {
    String(decoding: try Files.read("/proc/self/mountinfo", limit: 64 << 20), as: UTF8.self).split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      return words.count > 4 && words[4].hasPrefix(directory + "/") ? String(words[4]) : nil
    }
  }
}

enum DiskSpace {
  /// Bytes that the files below a directory take, without what is mounted in it.
  static func allocated(below directory: String) throws -> Int64 { try sum(directory, on: try Files.status(directory).st_dev) }

  private static func sum(_ path: String, on device: dev_t) throws -> Int64 {
    // What is removed meanwhile takes nothing.
    guard Files.exists(path), let status = try? Files.status(path), status.st_dev == device else { return 0 }
    var bytes = Int64(status.st_blocks) * 512
    if status.st_mode & 0o170000 == 0o040000 { for name in try Files.names(in: path) { bytes += try sum("\(path)/\(name)", on: device) } }
    return bytes
  }
}
