import CLinux
import Dispatch
import FoundationEssentials
import FuseUnion
import OverlaySnapshotter
import Protocols
import Synchronization
import SystemKit

/// Writable unions instead of the kernel's overlays, for hosts that have none: one FUSE mount for each snapshot that is not a plain directory.
///
///     ROOT/union/ID/mnt       where it is mounted
///     ROOT/union/ID/work      its scratch space; of a view also `upper`, which stays empty
///     ROOT/union/ID/layers.json  what it is made of; locked by its process as long as anybody has it mounted
///     ROOT/union/-ID          where the layer of that snapshot is unpacked (Graduation)
///
/// Each is served by a process of its own, which ends when the mount does: it outlives this one. Without a command for that (tests) they are served here.
/// Safe from any thread. Calls block.
final class UnionMounts: LayerStacking {
  private let root: String
  private let command: [String]?
  private let transport: UnionMount.Transport
  private let isWanted: Bool
  private let usesUserAttributes: Bool
  private let log: @Sendable (String) -> Void
  private let here = Mutex<[Int64: UnionMount]>([:])
  private let making = DispatchQueue(label: "union mounts")

  /// - Parameters:
  ///   - isWanted: whether there will be new ones. Those that live stay unions all the same.
  ///   - transport: of what is served here; a command has been told its own.
  init(
    root: String, command: [String]?, isWanted: Bool = true, transport: UnionMount.Transport = .raw, log: @escaping @Sendable (String) -> Void
  ) {
    self.root = root
    self.command = command
    self.transport = transport
    self.isWanted = isWanted
    self.log = log
    // As an overlay in a user namespace: trusted.* is for the host's root.
    usesUserAttributes = isWanted && !Self.mayTrust(root)
  }

  private static func mayTrust(_ root: String) -> Bool {
    let path = "\(root)/union"
    // What is wrong with the directory is told when it is used.
    guard (try? Files.makeDirectories(path, mode: 0o700)) != nil else { return true }
    let works = setxattr(path, "trusted.overlay.probe", "y", 1, 0) == 0
    removexattr(path, "trusted.overlay.probe")
    return works
  }

  private func place(_ id: Int64) -> String { "\(root)/union/\(id)" }

  /// Where the catalog of a lower directory is, if it has one: beside it.
  private static func catalog(_ lower: String) -> String { "\(lower[..<(lower.lastIndex(of: "/") ?? lower.startIndex)])/catalog" }

  /// Writes down what there is in the directory of a snapshot that nobody writes to any more, so that unions on it need not ask the file system for each
  /// name. Without it they are only slower.
  func describe(_ directory: String, of snapshot: String) {
    if !isWanted { return }
    do { try UnionMount.catalog(directory, in: Self.catalog(directory)) } catch {
      // Removed meanwhile.
      if error.errno == ENOENT { return }
      log("snapshot \(snapshot) has no catalog, and unions on it list its directories: \(error)")
    }
  }

  func isDescribed(_ directory: String) -> Bool { Files.exists(Self.catalog(directory)) }

  /// By what a union is known in which something is made for a snapshot.
  static func scratch(_ id: Int64) -> Int64 { -id }

  func mounts(of id: Int64, writable: Bool, lowers: [String], upper: String, work: String) throws -> [Mount] {
    let target = "\(place(id))/mnt"
    try making.sync {
      if try isAlive(id, target) { return }
      try refuseAnother(id)
      let own = place(id)
      try Files.makeDirectories(target, mode: 0o755)
      try Files.makeDirectories("\(own)/work", mode: 0o700)
      if !writable {
        try Files.makeDirectories("\(own)/upper", mode: 0o755)
        // What is seen of the root is this directory.
        if let nearest = lowers.first { try Files.imitate(nearest, "\(own)/upper") }
      }
      let layers = UnionMount.Layers(
        lowers: lowers, catalogs: lowers.map(Self.catalog), upper: writable ? upper : "\(own)/upper", work: "\(own)/work",
        usesUserAttributes: usesUserAttributes)
      if let command {
        try spawn(command, layers, target, own)
        // One that was killed before it had mounted has said nothing either. What is put into a plain directory here would be lost.
        if try !isAlive(id, target) { throw ContainerdError.unavailable("the union at \(target) ended before it was mounted: see \(own)/log") }
      } else {
        let mount = try UnionMount(layers, at: target, transport: transport, log: log)
        here.withLock { $0[id] = mount }
      }
    }
    return bind(target, writable)
  }

  private func bind(_ target: String, _ writable: Bool) -> [Mount] {
    [Mount(type: "bind", source: target, options: [writable ? "rw" : "ro", "rbind"])]
  }

  /// The mounts of a snapshot that has a union, made when there were to be unions: nobody else may write into its directory while that lives. nil if it has none.
  func lasting(_ id: Int64, writable: Bool) throws -> [Mount]? {
    if !Files.exists(place(id)) { return nil }
    let target = "\(place(id))/mnt"
    let isThere = try making.sync {
      if try isAlive(id, target) { return true }
      try refuseAnother(id)
      return false
    }
    if isThere { return bind(target, writable) }
    try drop(id, force: true)
    return nil
  }

  /// Somebody has unmounted the union here, and it is still mounted elsewhere, for a container: another one would write into the same directory.
  private func refuseAnother(_ id: Int64) throws {
    if try isServed(id, within: 2000) {
      throw ContainerdError.failedPrecondition("the union of snapshot \(id) is not mounted at \(place(id))/mnt any more, and still in use elsewhere")
    }
  }

  /// What was written through a mapped file may have come no further than the union's own pages.
  func flush(_ id: Int64) throws {
    if !Files.exists(place(id)) { return }
    let target = "\(place(id))/mnt"
    guard try making.sync(execute: { try isAlive(id, target) }) else { return }
    let mount = try Files.open(target, O_RDONLY | O_DIRECTORY)
    let raw = mount.raw
    try check("syncfs", target) { syncfs(raw) }
  }

  /// Takes the mount of a snapshot that was committed away. Who still has it mounted elsewhere keeps it, as he would the kernel's overlay: then its directory is
  /// removed by a later call.
  /// - Parameter patience: for how many milliseconds the end of its process is waited for.
  /// - Returns: whether nobody has it any more.
  @discardableResult
  func letGo(_ id: Int64, patience: Int) throws -> Bool {
    UnionProcess.reap()
    if !Files.exists(place(id)) { return true }
    let target = "\(place(id))/mnt"
    let mount = try making.sync {
      let mount = here.withLock { $0.removeValue(forKey: id) }
      if try isAlive(id, target) { try Mounts.unmount(target, flags: Int32(MNT_DETACH)) }
      return mount
    }
    if let mount {
      let (place, log) = (place(id), log)
      DispatchQueue.global().async {
        mount.waitForEnd()
        do { try Files.removeTree(place) } catch { log("the union of snapshot \(id) has ended, and is not taken away yet: \(error)") }
      }
      return false
    }
    if try isServed(id, within: patience) { return false }
    try Files.removeTree(place(id))
    return true
  }

  /// Whether its process lives, after that many milliseconds.
  private func isServed(_ id: Int64, within patience: Int) throws -> Bool {
    // A copy of its mount in another mount namespace goes with the directory on which it is, if that goes; a bind of it elsewhere does not.
    _ = rmdir("\(place(id))/mnt")
    let path = "\(place(id))/layers.json"
    for attempt in 0...patience / 5 {
      // Without one it was never begun.
      if !Files.exists(path) { return false }
      let plan = try Files.open(path, O_RDONLY)
      if clinux_flock(plan.raw, LOCK_EX | LOCK_NB) == 0 { return false }
      if attempt < patience / 5 { usleep(5_000) }
    }
    return true
  }

  /// Whether it is mounted and somebody answers. What is dead is taken away.
  private func isAlive(_ id: Int64, _ target: String) throws -> Bool {
    var (status, above) = (stat(), stat())
    if stat(target, &status) == 0, stat(place(id), &above) == 0 { return status.st_dev != above.st_dev }
    let error = clinux_errno()
    if error == ENOENT { return false }
    if error != ENOTCONN { throw SystemError.last("stat", target) }
    log("the union of snapshot \(id) has lost its server: it is mounted anew")
    _ = umount2(target, Int32(MNT_DETACH))
    return false
  }

  /// Starts a server and waits until it has mounted, or has said why not.
  private func spawn(_ command: [String], _ layers: UnionMount.Layers, _ target: String, _ own: String) throws {
    let plan = "\(own)/layers.json"
    try Files.writeAtomically(Array(try JSONEncoder().encode(layers)), to: plan)
    try UnionProcess.start(command + ["--layers", plan, target], log: "\(own)/log")
  }

  /// Takes the mount away, so that the upper directory is whoever's it is now. `failedPrecondition` while it is in use, unless forced.
  func drop(_ id: Int64, force: Bool) throws {
    UnionProcess.reap()
    if !Files.exists(place(id)) { return }
    let target = "\(place(id))/mnt"
    try making.sync {
      let mount = here.withLock { $0.removeValue(forKey: id) }
      do { try Mounts.unmount(target, flags: force ? Int32(MNT_DETACH) : 0) } catch let error as SystemError {
        if error.errno == EBUSY {
          if let mount { here.withLock { $0[id] = mount } }
          throw ContainerdError.failedPrecondition("\(target) is in use")
        }
        if error.errno != EINVAL, error.errno != ENOENT { throw error }
      }
      if let mount { DispatchQueue.global().async { mount.waitForEnd() } }
      try Files.removeTree(place(id))
    }
  }

  /// At the start: takes away what stands on lazy mounts that nobody has gone on with. They are made again when they are asked for, and who has one has lost it.
  /// - Parameter isLost: whether a lower directory is such a mount.
  func dropStale(_ isLost: (String) -> Bool) throws {
    for id in try known() {
      // One without a plan that can be read was never begun, or is served by this process.
      guard let plan = try? Files.read("\(place(id))/layers.json"), let layers = try? JSONDecoder().decode(UnionMount.Layers.self, from: Data(plan)) else {
        continue
      }
      guard let lost = layers.lowers.first(where: isLost) else { continue }
      log("the union of snapshot \(id) stands on \(lost), which has ended: it will be mounted anew")
      do { try drop(id, force: true) } catch { log("the union of snapshot \(id) cannot be taken away: \(error)") }
    }
  }

  /// For the end of this process: what it serves itself is taken away. What has a process of its own stays.
  func leave() throws {
    for (id, mount) in here.withLock({ $0 }) {
      try Mounts.unmount(mount.target, flags: Int32(MNT_DETACH))
      here.withLock { $0[id] = nil }
      DispatchQueue.global().async { mount.waitForEnd() }
    }
  }

  /// The numbers of what has a directory here: snapshots, and what is made for one (`scratch`).
  func known() throws -> [Int64] { Files.exists("\(root)/union") ? try Files.names(in: "\(root)/union").compactMap { Int64($0) } : [] }
}
