import BlockingIO
import CLinux
import Protocols
import SnapshotIndex
import Synchronization
import SystemKit

/// Snapshots as overlayfs layers: each one a directory, the stack of them mounted by whoever runs the container.
///
///     index.db              what there is (SnapshotIndex)
///     snapshots/ID/fs       the layer's own files, the overlay's upperdir or one of its lowerdirs
///     snapshots/ID/work     the overlay's scratch space, of active snapshots; whoever still has one that was committed mounted has it until the next start
///     snapshots/new-…, rm-… being made, being removed
///
/// A directory is complete and on disk before its row is committed; a row is gone before its directory is. Whatever a crash leaves
/// has no row, and is removed when the snapshotter is opened or cleaned up.
public final class OverlaySnapshotter: Snapshotter {
  let root: String
  let pool: BlockingPool
  let index: SnapshotIndex
  let mountOptions: [String]
  let places: (any LayerPlaces)?
  let stacking: (any LayerStacking)?
  private let closed = Mutex(false)

  /// Opens or makes the snapshotter's directory. `failedPrecondition` if the kernel cannot mount an overlay there; `invalidArgument` if
  /// the path holds characters that overlay options cannot carry.
  /// - Parameters:
  ///   - places: says where the layers are, if not all of them are in their own directories here.
  ///   - stacking: puts directories over each other in the kernel's place, which is not tried then.
  public init(root: String, places: (any LayerPlaces)? = nil, stacking: (any LayerStacking)? = nil) throws {
    if stacking == nil, root.contains(where: { ",:\\\"".contains($0) }) {
      throw ContainerdError.invalidArgument("overlay root \(root) contains one of , : \\ \" which overlay mount options cannot carry")
    }
    do {
      try Files.makeDirectories("\(root)/snapshots", mode: 0o700)
      try Self.refuseLostIndex(root)
      self.mountOptions = stacking == nil ? try OverlayProbe.options(root: root) : []
    } catch let error as SystemError { throw ContainerdError(error, "overlay snapshotter \(root)") }
    self.root = root
    self.places = places
    self.stacking = stacking
    self.pool = BlockingPool(label: "overlay", width: 8)
    self.index = try SnapshotIndex(path: Self.index(in: root))
    // What cannot be removed now is tried again by every cleanup; it is no reason to withhold everything else.
    _ = try removeLeftovers(atStart: true)
  }

  /// An empty index would make leftovers of all snapshots, and they would be removed: somebody moved or lost the file.
  private static func refuseLostIndex(_ root: String) throws {
    if Files.exists(index(in: root)) { return }
    guard let name = try system("overlay snapshotter \(root)", { try Files.names(in: "\(root)/snapshots").first { Int64($0) != nil } }) else { return }
    throw ContainerdError.failedPrecondition(
      "the index \(root)/index.db is missing, but \(root)/snapshots/\(name) is there: put it back, or remove \(root)/snapshots to begin anew")
  }

  /// Where a snapshot has what is its own.
  public func directory(_ id: Int64) -> String { Self.directory(id, in: root) }
  public func upper(_ id: Int64) -> String { Self.upper(id, in: root) }
  /// The same, for whoever has to know it before the snapshotter is open.
  public static func directory(_ id: Int64, in root: String) -> String { "\(root)/snapshots/\(id)" }
  public static func upper(_ id: Int64, in root: String) -> String { "\(directory(id, in: root))/fs" }

  static func noteOfLowers(_ id: Int64, in root: String) -> String { "\(directory(id, in: root))/lowers" }
  static func index(in root: String) -> String { "\(root)/index.db" }

  /// Which snapshots a directory has, and where the layers of each were when it was made, if that was noted; for whoever has not opened it. Blocking.
  public static func contents(of root: String) throws -> [(entry: SnapshotEntry, lowers: [String]?)] {
    if !Files.exists(index(in: root)) { return [] }
    return try SnapshotIndex(path: index(in: root)).entries().map { ($0, try notedLowers($0.id, in: root)) }
  }

  /// A snapshot as the index has it; `notFound`.
  public func entry(_ key: String) async throws -> SnapshotEntry { try await run { try $0.index.get(key) } }
  /// All of them as they were at one moment.
  public func entries() async throws -> [SnapshotEntry] { try await run { try $0.index.entries() } }

  /// Adds a committed snapshot whose files are not here. The closure gets its directory, which has an empty `fs`, before the snapshot is seen.
  public func adopt(_ name: String, parent: String?, labels: Labels, _ fill: @escaping @Sendable (String) throws -> Void) async throws -> SnapshotEntry {
    try await run { snapshotter in
      try snapshotter.index.adopt(name, parent: parent, labels: labels) { entry in
        _ = try snapshotter.system("snapshot \(name)") { try snapshotter.makeDirectory(of: entry, fill: fill) }
      }
    }
  }

  /// Makes a directory with `fs` and `work` in it, and gives the mounts that write into `fs` on top of layers that are in their own directories, nearest
  /// first. Blocking.
  /// - Parameter id: by what a stand-in for the overlay knows these mounts; nobody's but theirs.
  public func stack(in directory: String, on parents: [Int64], as id: Int64) throws -> [Mount] {
    try system("snapshotter \(root)") {
      try Files.makeDirectories(directory, mode: 0o700)
      let fs = "\(directory)/fs"
      try makeDirectory(fs, mode: 0o755)
      guard let parent = parents.first.map(upper) else { return [Mount(type: "bind", source: fs, options: ["rw", "rbind"])] }
      try Files.imitate(parent, fs)
      try makeDirectory("\(directory)/work", mode: 0o711)
      if let stacking { return try stacking.mounts(of: id, writable: true, lowers: parents.map(upper), upper: fs, work: "\(directory)/work") }
      let layers = ["workdir=\(directory)/work", "upperdir=\(fs)", "lowerdir=" + parents.map(upper).joined(separator: ":")]
      return [Mount(type: "overlay", source: "overlay", options: mountOptions + layers)]
    }
  }

  public func stat(_ key: String) async throws -> SnapshotInfo { try await run { try $0.index.get(key).info } }

  public func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    try await run { try $0.index.update(info, fields: fields).info }
  }

  public func usage(_ key: String) async throws -> SnapshotUsage {
    try await run { snapshotter in
      let entry = try snapshotter.index.get(key)
      return entry.info.kind == .committed ? entry.usage : try snapshotter.measure(entry, key)
    }
  }

  /// Who removes the snapshot meanwhile takes its files along: then it does not exist, and nothing is wrong with the disk.
  private func measure(_ entry: SnapshotEntry, _ key: String) throws -> SnapshotUsage {
    do { return try DiskUsage.measure(upper(entry.id)) } catch {
      let now = try index.get(key)
      if now.id == entry.id { throw error }
      return now.info.kind == .committed ? now.usage : try measure(now, key)
    }
  }

  public func mounts(_ key: String) async throws -> [Mount] {
    try await run { snapshotter in
      while true {
        let entry = try snapshotter.index.get(key)
        if entry.info.kind == .committed { throw ContainerdError.failedPrecondition("snapshot \(key) is committed: it has no mounts") }
        let mounts = Result { try snapshotter.mounts(of: entry) }
        // Who removes the snapshot meanwhile takes its files along: what was read then is of none.
        if try snapshotter.index.get(key).id == entry.id { return try mounts.get() }
      }
    }
  }

  public func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await run { try $0.make(.active, key, parent, labels) }
  }

  public func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await run { try $0.make(.view, key, parent, labels) }
  }

  public func commit(_ name: String, key: String, labels: Labels) async throws {
    try await run { snapshotter in
      let entry = try snapshotter.index.get(key)
      let usage = try snapshotter.measure(entry, key)
      CrashPoint.pass("snapshot.commit.measured")
      try snapshotter.index.commit(name, key: key, labels: labels, usage: usage)
      CrashPoint.pass("snapshot.commit.row")
    }
  }

  public func remove(_ key: String) async throws {
    try await run { snapshotter in
      let id = try snapshotter.index.remove(key)
      CrashPoint.pass("snapshot.remove.row")
      try snapshotter.afterwards("snapshot \(key)") { try snapshotter.discard("\(id)") }
    }
  }

  public func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    let infos = try await run { try $0.index.all() }
    for info in infos where filters.matches(info) { try await visit(info) }
  }

  public func cleanup() async throws {
    let failures = try await run { try $0.removeLeftovers() }
    if !failures.isEmpty { throw ContainerdError.internalError("overlay snapshotter \(root): \(failures.joined(separator: "; "))") }
  }

  public func close() async throws { closed.withLock { $0 = true } }

  // MARK: on the blocking pool

  private func run<Value: Sendable>(_ body: @escaping @Sendable (OverlaySnapshotter) throws -> Value) async throws -> Value {
    if closed.withLock({ $0 }) { throw ContainerdError.failedPrecondition("overlay snapshotter \(root) is closed") }
    return try await pool.run { try body(self) }
  }

  func system<Value>(_ object: String, _ body: () throws -> Value) throws -> Value { try Self.system(object, body) }

  /// Removes what is of no use any more, after the row says so: what was asked for is done. Where somebody still has something mounted, or writes, `cleanup`
  /// removes the rest when he has ended.
  private func afterwards(_ object: String, _ body: () throws -> Void) throws {
    do { try body() } catch let error as SystemError {
      if error.errno != ENOTEMPTY, error.errno != EBUSY { throw ContainerdError(error, object) }
    }
  }

  private static func system<Value>(_ object: String, _ body: () throws -> Value) throws -> Value {
    do { return try body() } catch let error as SystemError { throw ContainerdError(error, object) }
  }

  private func make(_ kind: SnapshotInfo.Kind, _ key: String, _ parent: String?, _ labels: Labels) throws -> [Mount] {
    var lowers: [String]?
    let entry = try index.create(kind, key: key, parent: parent, labels: labels) { entry in
      lowers = try system("snapshot \(key)") { try makeDirectory(of: entry) }
    }
    do { return try mounts(of: entry, lowers: lowers) } catch {
      // Removed already, by somebody who was told so: it was made before that, and what its mounts were is of no use to anybody.
      guard let now = try? index.get(key), now.id == entry.id else {
        return [Mount(type: "bind", source: upper(entry.id), options: [kind == .active ? "rw" : "ro", "rbind"])]
      }
      // Nobody knows of it yet, and nobody will.
      let id = try index.remove(key)
      try system("snapshot \(key)") { try discard("\(id)") }
      throw error
    }
  }

  /// With just this mode, whatever the umask of the process: a container's root directory is one of these.
  private func makeDirectory(_ path: String, mode: mode_t) throws(SystemError) {
    try check("mkdir", path) { mkdir(path, mode) }
    try check("chmod", path) { chmod(path, mode) }
  }

  /// Builds `new-ID` whole, then renames it into place, all before the row commits.
  /// - Returns: where its layers are, if they are not in their own directories.
  private func makeDirectory(of entry: SnapshotEntry, fill: (String) throws -> Void = { _ in }) throws -> [String]? {
    let new = "\(root)/snapshots/new-\(entry.id)"
    let isAdopted = entry.info.kind == .committed
    let lowers = isAdopted ? nil : try places?.lowers(of: entry, in: self)
    try Files.removeTree(new)
    try makeDirectory(new, mode: 0o700)
    let fs = "\(new)/fs"
    try makeDirectory(fs, mode: 0o755)
    if entry.info.kind == .active { try makeDirectory("\(new)/work", mode: 0o711) }
    if let lowers { try Files.writeAtomically(Array(lowers.joined(separator: "\n").utf8), to: "\(new)/lowers") }
    if !isAdopted, let parent = lowers?.first ?? entry.parents.first.map(upper) {
      // The root of the container is this directory: it looks like the parent's.
      try Files.imitate(parent, fs)
    }
    try fill(new)
    try Files.syncDirectory(new)
    CrashPoint.pass("snapshot.make.built")
    let place = directory(entry.id)
    try Files.removeTree(place)
    try check("rename", place) { rename(new, place) }
    try Files.syncDirectory("\(root)/snapshots")
    CrashPoint.pass("snapshot.make.placed")
    return lowers
  }

  /// Renames first: from then on nobody finds it, however long the removal takes.
  private func discard(_ name: String) throws {
    let doomed = "\(root)/snapshots/rm-\(name)"
    let path = "\(root)/snapshots/\(name)"
    if rename(path, doomed) != 0 {
      if clinux_errno() == ENOENT { return }
      throw SystemError.last("rename", path)
    }
    CrashPoint.pass("snapshot.remove.renamed")
    try Files.removeTree(doomed)
  }

  /// Removes every directory that has no row, and at the start the work directories of layers that are only read. One that cannot be removed keeps no other.
  /// - Returns: what could not be removed, and why.
  private func removeLeftovers(atStart: Bool = false) throws -> [String] {
    try system("overlay snapshotter \(root)") {
      // Rows are read after the names, and the index does one thing at a time: whoever was making a directory when the names were read
      // has finished when the rows are, so what has no row then belongs to nobody.
      let names = try Files.names(in: "\(root)/snapshots")
      let known = try index.numbers()
      let committed = try index.committedNumbers()
      var failures: [String] = []
      for name in names {
        do {
          if let id = Int64(name) {
            if !known.contains(id) {
              try discard(name)
            } else if atStart, committed.contains(id) {
              // Later on somebody may still have it mounted who has just committed it.
              try Files.removeTree("\(directory(id))/work")
            }
          } else if name.hasPrefix("rm-") || name.hasPrefix("new-") {
            CrashPoint.pass("snapshot.cleanup")
            try Files.removeTree("\(root)/snapshots/\(name)")
          }
        } catch { failures.append("\(error)") }
      }
      return failures
    }
  }
}

extension ContainerdError {
  init(_ error: SystemError, _ object: String) {
    let code: Code =
      switch error.errno {
      case ENOSPC, EDQUOT, EMFILE, ENFILE: .resourceExhausted
      case EACCES, EPERM, EROFS: .permissionDenied
      default: .unknown
      }
    self.init(code, "\(object): \(error)")
  }
}
