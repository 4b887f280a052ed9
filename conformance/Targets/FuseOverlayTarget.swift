import BlockingIO
import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import OverlaySnapshotter
import Protocols
import SystemKit
import TestSupport

extension Target {
  /// `inproc:fuse-overlayfs`: the overlay snapshotter's layers, mounted by fuse-overlayfs instead of the kernel. Needs root and the program.
  static func fuseOverlay(_ address: String) -> Target {
    var target = Target(address: address, capabilities: [.files, .closing, .hardLinkIndex, .coherentMaps, .inodeStable])
    target[SnapshotSubject.self] = { workspace in
      SnapshotSubject(snapshotter: try OverlaySnapshotter(root: workspace.directory + "/s"), trees: try FuseOverlayTrees(in: workspace))
    }
    target[MountSubject.self] = { workspace in try .overlay(in: workspace, access: FuseOverlayTrees(in: workspace)) }
    return target
  }
}

/// Performs mounts as `MountingTrees` does, but overlays by a fuse-overlayfs of their own, which ends with them.
struct FuseOverlayTrees: TreeAccess {
  static let program = "/usr/bin/fuse-overlayfs"
  private let mountPoint: String
  private let log: String

  init(in workspace: Workspace) throws {
    try needRoot()
    if access(Self.program, X_OK) != 0 { throw CaseSkipped(.tool, "\(Self.program) is not installed: apt install fuse-overlayfs") }
    if access("/dev/fuse", R_OK | W_OK) != 0 { throw CaseSkipped(.environment, "/dev/fuse cannot be opened") }
    mountPoint = workspace.directory + "/mnt"
    log = workspace.directory + "/fuse-overlayfs.log"
  }

  func stored(_ path: String, of mounts: [Mount]) throws -> (any StoredFile)? { try MountingTrees(mountPoint: mountPoint).stored(path, of: mounts) }

  func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any Tree) throws -> Void) async throws {
    let (target, log) = (mountPoint, log)
    try await DedicatedThread.run {
      try Files.makeDirectories(target)
      try check("unshare", "mount namespace") { unshare(CLONE_FS | CLONE_NEWNS) }
      try check("mount", "/ as private") { mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
      var servers: [(pid: pid_t, place: String)] = []
      defer { for server in servers.reversed() { Self.end(server.pid, server.place) } }
      for mount in mounts {
        let place = mount.target.isEmpty ? target : "\(target)/\(mount.target)"
        if mount.type == "overlay" {
          servers.append((try Self.start(mount.options, at: place, log: log), place))
        } else {
          try Mounts.mount(type: mount.type, source: mount.source, target: place, options: mount.options)
        }
      }
      try body(PlainTree(root: target))
    }
  }

  /// Starts the program in this thread's mount namespace, and waits until it serves.
  private static func start(_ options: [String], at place: String, log: String) throws -> pid_t {
    // What is the kernel's own (index=off, userxattr) is left out; root mounts with set-uid and devices, as mount(8) would.
    let directories = options.filter { option in ["lowerdir=", "upperdir=", "workdir="].contains { option.hasPrefix($0) } }
    let flags = options.filter { ["ro", "nodev", "nosuid", "noexec"].contains($0) }
    let more = (flags.contains("nodev") ? [] : ["dev"]) + (flags.contains("nosuid") ? [] : ["suid"])
    let arguments = [program, "-f", "-o", (directories + flags + more).joined(separator: ","), place]
    let before = try Files.status(place)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    var pid: pid_t = 0
    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { argv.forEach { free($0) } }
    let failure = posix_spawn(&pid, program, &actions, nil, &argv, clinux_environ())
    if failure != 0 { throw SuiteError("\(program): \(SystemError(errno: failure, operation: "start", object: place))") }
    for _ in 0..<1000 {
      let now = try Files.status(place)
      if now.st_dev != before.st_dev { return pid }
      var status: Int32 = 0
      if waitpid(pid, &status, WNOHANG) == pid {
        throw SuiteError("\(program) ended before it served: \(String(decoding: try Files.read(log), as: UTF8.self))")
      }
      usleep(5000)
    }
    end(pid, place)
    throw SuiteError("\(program) did not mount \(place) within 5 s")
  }

  private static func end(_ pid: pid_t, _ place: String) {
    if umount2(place, 0) != 0 { umount2(place, Int32(MNT_DETACH)) }
    var status: Int32 = 0
    for _ in 0..<400 {
      if waitpid(pid, &status, WNOHANG) != 0 { return }
      usleep(5000)
    }
    kill(pid, SIGKILL)
    waitpid(pid, &status, 0)
  }
}
