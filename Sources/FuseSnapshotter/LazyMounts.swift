import BlockingIO
import CLinux
import Dispatch
import FuseKeeper
import FuseServer
import LazyLayers
import OverlaySnapshotter
import Protocols
import SnapshotIndex
import Synchronization
import SystemKit

/// The mounts of lazy snapshots: one for each chain of layers that something stands on.
///
///     ROOT/lazy/ID/tree       the chain's merged tree (FuseServer)
///     ROOT/lazy/ID/tree.of    the indexes that it was made from
///     ROOT/lazy/ID/mnt        where it is mounted; ID is the number of the chain's top snapshot
///     ROOT/lazy/ID/replaced   names that the keeper has for mounts which somebody else unmounted, and which others stand in the place of
///
/// With a keeper, every mount outlives this process: its successor goes on with it. Safe from any thread. Calls block.
final class LazyMounts: LayerPlaces {
  private let root: String
  let shelf: LayerShelf
  private let images: any LazyImages
  private let keeper: KeeperConnection?
  private let transport: FuseTransport
  private let work: WorkPlace
  private let log: @Sendable (String) -> Void
  private struct Mounted {
    var mount: FuseMount
    /// What the keeper calls it: the snapshot's number, and what tells it from one that was there before.
    var name: String
  }
  private let mounted = Mutex<[Int64: Mounted]>([:])
  /// Chains with mounts that are not in their place any more, and are answered until nobody has them.
  private let lingering = Mutex<[Int64: [Mounted]]>([:])
  /// Mounts are made one after another: two of one chain would be in each other's way.
  private let making = DispatchQueue(label: "lazy mounts")

  init(
    root: String, shelf: LayerShelf, images: any LazyImages, keeper: KeeperConnection?, transport: FuseTransport, work: WorkPlace,
    log: @escaping @Sendable (String) -> Void
  ) {
    self.root = root
    self.shelf = shelf
    self.images = images
    self.keeper = keeper
    self.transport = transport
    self.work = work
    self.log = log
  }

  private func place(_ id: Int64) -> String { "\(root)/lazy/\(id)" }
  private func snapshot(_ id: Int64) -> String { OverlaySnapshotter.directory(id, in: root) }

  // MARK: LayerPlaces

  func lowers(of entry: SnapshotEntry, in snapshotter: OverlaySnapshotter) throws -> [String]? {
    var lowers: [String] = []
    for id in entry.parentIDs {
      let directory = snapshotter.directory(id)
      if let record = try LazyRecord.read(in: directory), !Graduation.isDone(directory) {
        // It shows what is below it too.
        return lowers + [try mount(id, record)]
      }
      lowers.append(snapshotter.upper(id))
    }
    return lowers
  }

  // MARK: one after another

  /// Goes on with what a server that has ended was serving. To be called before anything else: whoever waits for such a mount waits for us.
  ///
  /// A mount that cannot be served is let go, and who uses it is told ENOTCONN. For want of memory or descriptors none is: that is thrown, and it stays the keeper's.
  func takeOver() throws {
    guard let keeper else { return }
    defer { watchKeeper() }
    for entry in try keeper.entries() {
      do {
        guard let id = entry.name.split(separator: "-").first.flatMap({ Int64($0) }), let record = try LazyRecord.read(in: snapshot(id)) else {
          throw ContainerdError.notFound("snapshot \(entry.name)")
        }
        let (layers, target) = (try layers(of: record), "\(place(id))/mnt")
        if try isOfOthers("\(place(id))/tree", layers) {
          throw ContainerdError.failedPrecondition("snapshot \(id): a layer that was wrong has another index since it was mounted")
        }
        let mount = try FuseMount(
          takingOver: entry.descriptors, try FlatTree(path: "\(place(id))/tree"), layers, at: target, form: form(id, record), log: log)
        if isMountPoint(target), !replaced(id).contains(entry.name) {
          mounted.withLock { $0[id] = Mounted(mount: mount, name: entry.name) }
        } else {
          letGo(id, Mounted(mount: mount, name: entry.name))
        }
        for layer in layers {
          shelf.fill(layer)
          // Its server may have been killed before the kernel was told. Nobody is kept waiting by those who still read it.
          if layer.isPoisoned { DispatchQueue.global().async { mount.forget(layer) } }
        }
      } catch {
        log("mount \(entry.name), which the keeper has, cannot be served: \(error)")
        if Self.passes(error) { throw error }
        for descriptor in entry.descriptors { close(descriptor) }
        try keeper.drop(entry.name)
      }
    }
  }

  private static func passes(_ error: any Error) -> Bool {
    if let error = error as? ContainerdError { return error.code == .resourceExhausted }
    guard let error = error as? SystemError else { return false }
    return [EMFILE, ENFILE, ENOMEM, EAGAIN].contains(error.errno)
  }

  /// A keeper that has ended is followed by another: without one a crash of this process would be the end of every mount.
  private func watchKeeper() {
    guard let keeper else { return }
    let failure = DedicatedThread.detach { [weak self, log] in
      var pause: UInt32 = 100_000
      while true {
        do {
          try keeper.waitForEnd()
          guard let self else { return }
          try self.making.sync { try self.renewKeeper() }
          pause = 100_000
        } catch {
          log("the keeper cannot be replaced: \(error)")
          usleep(pause)
          pause = min(pause * 2, 60_000_000)
        }
      }
    }
    if failure != 0 { log("nobody watches the keeper: \(SystemError(errno: failure, operation: "pthread_create", object: root))") }
  }

  /// Has another keeper started, and gives it every mount. While nobody makes one.
  private func renewKeeper() throws {
    guard let keeper else { return }
    try keeper.reconnect()
    // What lingers too: who stands on it needs it no less.
    // But for what was wrong, and was mounted anew since.
    let all = mounted.withLock { Array($0.values) } + lingering.withLock { $0.values.flatMap { $0 } }.filter { !$0.mount.isRefused }
    let kept = all.count { mine in
      do { return try mine.mount.lend { try keeper.put(mine.name, $0) } } catch {
        log("mount \(mine.name) has no keeper: \(error)")
        return false
      }
    }
    log("the keeper had ended: another has what it had, \(kept) of our mounts")
  }

  private func keep(_ name: String, _ descriptors: [Int32]) throws {
    guard let keeper else { return }
    do { return try keeper.put(name, descriptors) } catch { log("mount \(name) cannot be given to the keeper: \(error)") }
    try renewKeeper()
    try keeper.put(name, descriptors)
  }

  /// The chain's mount, which is made if it is not there.
  /// - Returns: the directory.
  @discardableResult
  func mount(_ id: Int64, _ record: LazyRecord) throws -> String {
    let target = "\(place(id))/mnt"
    if let there = mounted.withLock({ $0[id] }), isMountPoint(target), try !isHealed(record, since: there) { return target }
    return try making.sync {
      if let there = mounted.withLock({ $0[id] }) {
        if !isMountPoint(target) {
          // Somebody has unmounted it: below a container that comes now there would be an empty directory.
          log("\(target) was unmounted by somebody else: it is mounted anew")
        } else if try isHealed(record, since: there) {
          log(
            "snapshot \(id): a layer that was wrong has another index now, and is mounted anew; who stands on the mount before loses that with this server")
          try there.mount.detach()
          // Its numbers are those of a tree that lied: no successor may serve it by another.
          letGoOf(there.name)
        } else {
          return target
        }
        try noteReplaced(id, there.name)
        mounted.withLock { $0[id] = nil }
        letGo(id, there)
      }
      // It may have been removed while this waited for another.
      if !Files.exists(snapshot(id)) { throw ContainerdError.notFound("snapshot \(id)") }
      let made = try make(id, record, target)
      mounted.withLock { $0[id] = made }
      return target
    }
  }

  /// Whether a mount is of a layer that turned out to be another, and the chain's layers are others now.
  private func isHealed(_ record: LazyRecord, since there: Mounted) throws -> Bool {
    try there.mount.isRefused && record.layers.allSatisfy { !shelf.isPoisoned(try Digest(parsing: $0.digest)) }
  }

  /// The chain's tree, which is made if there is none, or none that this version reads; and what is wanted at once then.
  private func flat(_ tree: String, _ layers: [LazyLayer]) throws -> (FlatTree, [TreeWork.Wish]) {
    if let flat = try known(tree), try !isOfOthers(tree, layers) { return (flat, []) }
    try Files.removeTree(tree)
    try Files.writeAtomically(try mark(of: layers), to: "\(tree).of")
    let wishes = try work.run(TreeWork(indexes: layers.map { shelf.index(of: $0.name.blob.digest) }, tree: tree))
    return (try FlatTree(path: tree), wishes)
  }

  /// Whether a tree was made from other indexes than its layers have now: one that turned out to be wrong is replaced, and what it says of places is of no other's
  /// bytes. False where that was not written down.
  private func isOfOthers(_ tree: String, _ layers: [LazyLayer]) throws -> Bool {
    let path = "\(tree).of"
    return try Files.exists(path) && Files.read(path) != mark(of: layers)
  }

  /// What tells the indexes of layers from those that replace them.
  private func mark(of layers: [LazyLayer]) throws -> [UInt8] {
    let lines = try layers.map { layer in
      let blob = layer.name.blob.digest
      let spans = try Files.status("\(shelf.directory(of: blob))/spans")
      return "\(blob) \(spans.st_ino) \(spans.st_mtim.tv_sec).\(spans.st_mtim.tv_nsec)\n"
    }
    return Array(lines.joined().utf8)
  }

  private func known(_ tree: String) throws -> FlatTree? {
    if !Files.exists(tree) { return nil }
    do { return try FlatTree(path: tree) } catch {
      if error.code != .dataLoss { throw error }
      log("\(error.message): it is made anew")
      return nil
    }
  }

  private func make(_ id: Int64, _ record: LazyRecord, _ target: String) throws -> Mounted {
    try Files.makeDirectories(place(id), mode: 0o700)
    try discardDead(target)
    if mkdir(target, 0o755) != 0, clinux_errno() != EEXIST { throw SystemError.last("mkdir", target) }
    let layers = try layers(of: record)
    let tree = "\(place(id))/tree"
    let (flat, wishes) = try flat(tree, layers)
    let name = "\(id)-\(UInt32.random(in: 0...UInt32.max))"
    let mount = try FuseMount(
      flat, layers, at: target, form: form(id, record, answersOpens: flat.isMadeOfLargeFiles), keep: { try keep(name, $0) }, log: log)
    for wish in wishes { layers[wish.layer].want(wish.from..<wish.to) { _ in } }
    for layer in layers {
      shelf.record(layer)
      shelf.fill(layer)
    }
    clinux_give_back()
    return Mounted(mount: mount, name: name)
  }

  private func layers(of record: LazyRecord) throws -> [LazyLayer] {
    try record.layers.map { layer in
      let blob = try layer.descriptor()
      let name = LazyLayer.Name(blob: blob, diffID: try Digest(parsing: layer.diffID), image: record.image)
      return try shelf.layer(name, source: try images.source(of: blob, image: record.image))
    }
  }

  /// Where the layers of a chain have plain directories once they are complete: the snapshots of the chain, which are numbered by `chain`.
  private func form(_ id: Int64, _ record: LazyRecord, answersOpens: Bool = false) -> FuseMount.Form {
    let chain = record.chain + [id]
    return FuseMount.Form(transport: transport, answersOpens: answersOpens) { [root] layer in
      guard layer < chain.count else { return nil }
      let directory = OverlaySnapshotter.directory(chain[layer], in: root)
      return Graduation.isDone(directory) ? OverlaySnapshotter.upper(chain[layer], in: root) : nil
    }
  }

  /// What a server that was killed has left mounted answers nobody any more.
  private func discardDead(_ target: String) throws {
    while true {
      if umount2(target, Int32(MNT_DETACH)) == 0 { continue }
      let error = SystemError.last("umount", target)
      // Not mounted, or not there.
      if error.errno == EINVAL || error.errno == ENOENT { return }
      throw error
    }
  }

  /// Whether something is mounted there, and answers.
  private func isMountPoint(_ path: String) -> Bool {
    var (status, above) = (stat(), stat())
    return stat(path, &status) == 0 && stat(Files.parent(of: path), &above) == 0 && status.st_dev != above.st_dev
  }

  // The names of mounts that another was made in the place of: a successor cannot tell them from the other.

  private func noteReplaced(_ id: Int64, _ name: String) throws {
    let names = replaced(id) + [name]
    try Files.writeAtomically(Array(names.joined(separator: "\n").utf8), to: "\(place(id))/replaced")
  }

  private func replaced(_ id: Int64) -> [String] {
    let path = "\(place(id))/replaced"
    if !Files.exists(path) { return [] }
    do { return String(decoding: try Files.read(path), as: UTF8.self).split(separator: "\n").map(String.init) } catch {
      log("which mounts of \(place(id)) another took the place of is not known: \(error)")
      return []
    }
  }

  /// A mount that is no longer in its place: an overlay keeps what it stands on all the same, and is answered until it is gone. Then the keeper need not have
  /// it any more.
  private func letGo(_ id: Int64, _ mine: Mounted) {
    lingering.withLock { $0[id, default: []].append(mine) }
    let failure = DedicatedThread.detach { [self] in
      mine.mount.waitForEnd()
      lingering.withLock { lingering in
        lingering[id]?.removeAll { $0.mount === mine.mount }
        if lingering[id]?.isEmpty == true { lingering[id] = nil }
      }
      letGoOf(mine.name)
    }
    if failure != 0 { log("nobody waits for the end of \(mine.name): \(SystemError(errno: failure, operation: "pthread_create", object: mine.name))") }
  }

  /// Takes a chain's mount away, whoever still has something in it open.
  func drop(_ id: Int64) throws {
    // One that is just being made is finished first.
    try making.sync {
      let mine = mounted.withLock { $0.removeValue(forKey: id) }
      if let mine { try mine.mount.detach() }
      if !Files.exists(place(id)) { return }
      try discardDead("\(place(id))/mnt")
      // Who still reads is answered by this process alone from now on: there is no place for a successor to take up.
      if let mine { letGoOf(mine.name) }
      try Files.removeTree(place(id))
    }
  }

  /// The mount is gone, whatever the keeper says.
  private func letGoOf(_ name: String) {
    do { try keeper?.drop(name) } catch { log("the keeper still has \(name), which is gone: \(error)") }
  }

  /// What the kernel has of a layer that turned out to be another is read by nobody any more.
  func forget(_ layer: LazyLayer) {
    let all = mounted.withLock { Array($0.values) } + lingering.withLock { $0.values.flatMap { $0 } }
    for mine in all { mine.mount.forget(layer) }
  }

  /// Of every mount that this process serves, by the number of the chain's top snapshot.
  var figures: [Int64: FuseMount.Figures] { mounted.withLock { $0 }.mapValues { $0.mount.figures } }

  /// Whether a directory is a chain's mount, and who has something of it is answered by nobody.
  func isLost(_ directory: String) -> Bool {
    let parts = directory.split(separator: "/")
    guard parts.count > 2, let id = Int64(parts[parts.count - 2]), directory == "\(place(id))/mnt" else { return false }
    return mounted.withLock { $0[id] == nil } && lingering.withLock { $0[id] == nil }
  }

  func isKnown(_ id: Int64) -> Bool { Files.exists(place(id)) }

  /// The numbers of the chains that have a directory.
  func known() throws -> [Int64] {
    if !Files.exists("\(root)/lazy") { return [] }
    return try Files.names(in: "\(root)/lazy").compactMap { Int64($0) }
  }

  /// For the end of this process: unmounts what nobody needs. The rest stays with the keeper, for a successor; without one it is taken away.
  ///
  /// That nobody needs it is for the caller to say: an overlay that stands on a mount does not keep it from being unmounted.
  func leave(_ needed: Set<Int64>) throws {
    for (id, mine) in mounted.withLock({ $0 }) {
      if needed.contains(id), keeper != nil { continue }
      try mine.mount.detach()
      letGoOf(mine.name)
      mounted.withLock { $0[id] = nil }
    }
  }
}
