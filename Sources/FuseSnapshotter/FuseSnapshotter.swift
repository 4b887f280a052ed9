import BlockingIO
import CLinux
import FuseKeeper
import FuseServer
import FuseUnion
import LazyLayers
import OverlaySnapshotter
import Protocols
import SnapshotIndex
import Synchronization
import SystemKit

/// Snapshots as overlayfs layers, of which some are there before anybody has fetched them.
///
///     index.db, snapshots/    as OverlaySnapshotter has them; a lazy snapshot has `lazy.json` beside its empty `fs`
///     lazy/ID/                the mount of a chain of lazy layers (LazyMounts)
///     layers/sha256/HEX/      what is here of a layer (LazyLayers)
///     declined.json           what was not lazy of late, and why (DeclinedLayers)
///
/// A client that prepares a snapshot with the label `containerd.io/snapshot.ref` is told `alreadyExists` if the layer can be lazy: then there is a
/// committed snapshot with that label and parent, and the client fetches nothing. Else it is prepared as any other, and `log` says why.
public final class FuseSnapshotter: Snapshotter {
  static let reference = "containerd.io/snapshot.ref"

  private let root: String
  private let overlay: OverlaySnapshotter
  private let mounts: LazyMounts
  private let shelf: LayerShelf
  private let images: any LazyImages
  private let graduation: Graduation?
  private let unions: UnionMounts
  /// Whether snapshots that are made now get unions.
  private let makesUnions: Bool
  private let declined: DeclinedLayers
  private let later: LaterIndexes
  private let pool: BlockingPool
  private let patience: Duration
  private let log: @Sendable (String) -> Void
  private struct State {
    /// What clients unpack because it was not lazy, by the key of the snapshot.
    var declined: [String: LazyRequest] = [:]
    var isClosed = false
    /// Layers that are being made into a snapshot, and by how many: no row has them yet.
    var pinned: [Digest: Int] = [:]
    /// How often, so that who has looked away sees that it was.
    var adopted: [Digest: Int] = [:]
  }
  private let state = Mutex(State())

  /// What puts a writable directory over layers.
  public enum Stacking: Sendable {
    /// The kernel's overlayfs, by whoever performs the mounts.
    case overlay
    /// A union in FUSE, mounted here: for hosts without overlayfs. Each is served by a process that the command starts; without one, by this process.
    case union(command: [String]?)
  }

  /// Opens or makes the snapshotter's directory, and mounts what something stands on. Errors as `OverlaySnapshotter`. Blocking.
  /// - Parameters:
  ///   - applier: unpacks layers that are complete; nil leaves them to FUSE for good.
  ///   - patience: how long a client that asks for a layer waits for a registry.
  ///   - stacking: what puts a writable directory over layers.
  ///   - quiet: for how long clients must not have asked for anything before an index is made.
  ///   - work: where indexes are read, trees made and layers checked: else the heap of this process has what that leaves.
  ///   - keeper: has the mounts while no server has them; nil ends them with this process.
  public init(
    root: String, images: any LazyImages, applier: (any LayerApplier)? = nil, policy: LayerPolicy = LayerPolicy(), patience: Duration = .seconds(10),
    keeper: KeeperConnection? = nil, transport: FuseTransport = .raw, stacking: Stacking = .overlay, work: WorkPlace = .here,
    quiet: Duration = .seconds(1),
    log: @escaping @Sendable (String) -> Void
  ) throws {
    // Paths are kept one to a line.
    if root.contains("\n") { throw ContainerdError.invalidArgument("snapshotter root \(root.debugDescription) has a line break in it") }
    self.root = root
    self.images = images
    self.patience = patience
    self.log = log
    let pool = BlockingPool(label: "fuse snapshotter", width: 4)
    self.pool = pool
    declined = DeclinedLayers(root: root)
    later = LaterIndexes(quiet: quiet) { request in
      await images.unpacked(request)
      await pool.run { clinux_give_back() }
    }
    let (completions, completed) = AsyncStream<LazyLayer>.makeStream()
    shelf = try LayerShelf(root: "\(root)/layers", policy: policy, work: work, log: log, completed: { completed.yield($0) }) { layer, accesses in
      do { try images.remember(accesses, of: layer.name.blob.digest) } catch {
        log("layer \(layer.name.blob.digest): what was needed first is forgotten with the layer: \(error)")
      }
    }
    mounts = LazyMounts(root: root, shelf: shelf, images: images, keeper: keeper, transport: transport, work: work, log: log)
    try mounts.takeOver()
    var (command, makesUnions): ([String]?, Bool) = (nil, false)
    if case .union(let given) = stacking { (command, makesUnions) = (given, true) }
    self.makesUnions = makesUnions
    unions = UnionMounts(root: root, command: command, isWanted: makesUnions, transport: transport == .raw ? .raw : .libfuse, log: log)
    let (overlay, shelf) = (try OverlaySnapshotter(root: root, places: mounts, stacking: makesUnions ? unions : nil), shelf)
    self.overlay = overlay
    graduation = applier.map { [unions] in Graduation(overlay, shelf, $0, unions, pool, log: log) }
    Task { [graduation] in
      for await layer in completions {
        // Of what has been fetched for it nothing is needed any more.
        await pool.run { clinux_give_back() }
        if layer.isPoisoned {
          await images.distrust(layer.name.blob.digest)
          await pool.run { [mounts] in mounts.forget(layer) }
        } else if let graduation {
          Task { await graduation.run() }
        }
      }
    }
  }

  /// Mounts again what was mounted when the last process ended. A chain that cannot be mounted is told in the log, and keeps no other.
  public func recover() async throws {
    try await pool.run { [mounts, unions] in try unions.dropStale(mounts.isLost) }
    let entries = try await overlay.entries()
    let lazy = Set(try await pool.run { [mounts] in try mounts.known() })
    for entry in entries where lazy.contains(entry.id) {
      do {
        try await pool.run { [self] in
          if let record = try LazyRecord.read(in: overlay.directory(entry.id)) { try mounts.mount(entry.id, record) }
        }
      } catch { log("snapshot \(entry.info.name) cannot be mounted: \(error)") }
    }
    try await removeLeftovers()
    // What a start needs is not needed again.
    await pool.run { clinux_give_back() }
    // They may take minutes, and nobody is served before this has returned.
    if let graduation { Task { await graduation.run() } }
    Task { await describe(entries.filter { $0.info.kind == .committed }.map { ($0.id, $0.info.name) }) }
  }

  /// Makes catalogs of committed layers that have none: of what was just committed, or was before there were unions, or before a server was killed.
  private func describe(_ layers: [(id: Int64, name: String)]) async {
    if !makesUnions { return }
    for (id, name) in layers {
      do {
        try await pool.run { [overlay, unions] in
          let directory = overlay.directory(id)
          if try LazyRecord.read(in: directory) != nil, !Graduation.isDone(directory) { return }
          // While somebody may still write through a union, or through an overlay that the kernel has mounted, nothing about it lasts.
          if unions.isDescribed(overlay.upper(id)) || overlay.wasMounted(id) { return }
          if try !unions.known().contains(id) { unions.describe(overlay.upper(id), of: name) }
          clinux_give_back()
        }
      } catch { log("snapshot \(name) has no catalog: \(error)") }
    }
  }

  // MARK: asking

  /// What is here and what has happened, in numbers. Waits for nothing.
  public var figures: LazyFigures {
    LazyFigures(
      layers: shelf.openLayers.map { LazyFigures.Layer(name: $0.name, figures: $0.figures) }, mounts: mounts.figures, declined: declined.counts)
  }

  public func stat(_ key: String) async throws -> SnapshotInfo { try await overlay.stat(key) }
  public func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo { try await overlay.update(info, fields: fields) }
  public func usage(_ key: String) async throws -> SnapshotUsage { try await overlay.usage(key) }
  public func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws { try await overlay.walk(filters, visit) }

  public func mounts(_ key: String) async throws -> [Mount] {
    let entry = try await overlay.entry(key)
    // First what a union would stand on.
    try await mountLayers(under: entry)
    if !makesUnions, entry.info.kind != .committed {
      let lasting = try await pool.run { [unions] in try unions.lasting(entry.id, writable: entry.info.kind == .active) }
      if let lasting { return lasting }
    }
    return try await overlay.mounts(key)
  }

  // MARK: making

  public func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    later.prepared(key)
    do { return try await make(key, parent, labels) } catch {
      later.ended(key)
      throw error
    }
  }

  private func make(_ key: String, _ parent: String?, _ labels: Labels) async throws -> [Mount] {
    if let reference = labels[Self.reference], !reference.isEmpty {
      let request = LazyRequest(reference: reference, key: key, labels: labels)
      if try await provide(request, parent) { throw ContainerdError.alreadyExists("snapshot \(reference)") }
      state.withLock { $0.declined[key] = request }
    }
    try await mountLayers(onto: parent)
    do { return try await overlay.prepare(key, parent: parent, labels: labels) } catch {
      state.withLock { $0.declined[key] = nil }
      throw error
    }
  }

  public func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    try await mountLayers(onto: parent)
    return try await overlay.view(key, parent: parent, labels: labels)
  }

  public func commit(_ name: String, key: String, labels: Labels) async throws {
    let made = try await entry(key)
    if let made, made.info.kind == .active { try await pool.run { [unions] in try unions.flush(made.id) } }
    try await overlay.commit(name, key: key, labels: labels)
    // It is committed, whatever becomes of its mount; what is left is tried again by `cleanup`.
    if let made {
      do {
        // Who commits waits for none of it: the client goes on with the next layer.
        if try await pool.run({ [unions] in try unions.letGo(made.id, patience: 200) }) { Task { await describe([(made.id, name)]) } }
      } catch { log("the union of snapshot \(name) is not taken away yet: \(error)") }
    }
    later.ended(key)
    let declined = state.withLock { $0.declined.removeValue(forKey: key) }
    // Clients that do not ask for layers by the label call what they have unpacked by the ChainID all the same: `sha256:…`, behind what containerd's
    // metadata store puts in front of it.
    let chain = name.split(separator: "/").last.map(String.init).flatMap { try? Digest(parsing: $0) }
    guard let request = declined ?? chain.map({ LazyRequest(reference: "\($0)", key: key, labels: labels) }) else { return }
    later.add(request)
  }

  public func remove(_ key: String) async throws {
    let entry = try await overlay.entry(key)
    let record = await pool.run { [overlay, log] in
      // One that cannot be read must not keep the snapshot from being removed.
      do { return try LazyRecord.read(in: overlay.directory(entry.id)) } catch {
        log("snapshot \(key): \(error)")
        return nil
      }
    }
    await graduation?.begin(removing: entry.id)
    defer { if let graduation { Task { await graduation.end(removing: entry.id) } } }
    try await overlay.remove(key)
    try await dropUnion(entry.id)
    state.withLock { $0.declined[key] = nil }
    later.ended(key)
    guard let record else { return }
    try await pool.run { [mounts] in try mounts.drop(entry.id) }
    try await removeLayers(Set(try record.layers.map { try Digest(parsing: $0.digest) }))
  }

  public func cleanup() async throws {
    try await removeLeftovers()
    try await overlay.cleanup()
  }

  public func close() async throws {
    let isFirst = state.withLock { state in
      defer { state.isClosed = true }
      return !state.isClosed
    }
    if !isFirst { return }
    later.close()
    // Whatever is active or a view may be a container's root.
    let standing = try await overlay.entries().filter { $0.info.kind != .committed }.flatMap(\.parentIDs)
    try await overlay.close()
    try await pool.run { [mounts, unions, shelf] in
      shelf.endRecording()
      try unions.leave()
      try mounts.leave(Set(standing))
    }
  }

  // MARK: lazy layers

  /// - Returns: whether the layer is there now, as a committed snapshot on this parent.
  private func provide(_ request: LazyRequest, _ parent: String?) async throws -> Bool {
    if try await exists(request.reference, parent) { return true }
    var above: SnapshotEntry?
    if let parent, !parent.isEmpty {
      // Without its parent it cannot be made; the overlay says so.
      guard let entry = try await entry(parent), entry.info.kind == .committed else { return false }
      above = entry
    }
    if try await entry(request.key) != nil { return false }
    let isLazy = try await ask(request, parent, above)
    await pool.run { clinux_give_back() }
    return isLazy
  }

  private func ask(_ request: LazyRequest, _ parent: String?, _ above: SnapshotEntry?) async throws -> Bool {
    var request = request
    if let above, let record = try await pool.run({ [overlay] in try LazyRecord.read(in: overlay.directory(above.id)) }) {
      let layers = Set(try record.layers.map { try Digest(parsing: $0.digest) })
      // Of one that was wrong another index is needed.
      request.placed = await pool.run { [shelf] in layers.filter { !shelf.isPoisoned($0) } }
    }
    let answer: LazyAnswer
    do { answer = try await inTime { [images, request] in try await images.find(request) } } catch { answer = .declined("\(error)", .failure) }
    switch answer {
    case .declined(let reason, let obstacle):
      await decline(request, obstacle, reason)
      return false
    case .layers(let image, let offers):
      if let reason = try await obstacle(offers, above) {
        await decline(request, .parent, reason)
        return false
      }
      if try await !adopt(request, image, offers, parent, above) { return false }
      await note { [reference = request.reference] in try $0.remove(reference) }
      return true
    }
  }

  private func decline(_ request: LazyRequest, _ obstacle: LazyObstacle, _ reason: String) async {
    log("snapshot \(request.reference) is not lazy: \(reason)")
    let layer = DeclinedLayer(reference: request.reference, obstacle: obstacle, reason: reason, time: Timestamp.now().seconds)
    await note { try $0.add(layer) }
  }

  /// What cannot be written down is in the log all the same.
  private func note(_ change: @escaping @Sendable (DeclinedLayers) throws -> Void) async {
    do { try await pool.run { [declined] in try change(declined) } } catch { log("what was not lazy cannot be written down: \(error)") }
  }

  /// Why the layers cannot be lazy on this parent; nil if they can.
  private func obstacle(_ offers: [LazyOffer], _ parent: SnapshotEntry?) async throws -> String? {
    let depth = parent.map { $0.parentIDs.count + 1 } ?? 0
    if offers.count != depth + 1 { return "it is layer \(offers.count) of its image, and its parent has \(depth) layers" }
    guard let parent, let record = try await pool.run({ [overlay] in try LazyRecord.read(in: overlay.directory(parent.id)) }) else { return nil }
    for (layer, offer) in zip(record.layers, offers) where layer.diffID != "\(offer.diffID)" {
      return "its parent \(parent.info.name) has the layer \(layer.diffID) where the image has \(offer.diffID)"
    }
    return nil
  }

  private func adopt(
    _ request: LazyRequest, _ image: String, _ offers: [LazyOffer], _ parent: String?, _ above: SnapshotEntry?
  ) async throws -> Bool {
    let digests = offers.map(\.blob.digest)
    state.withLock { state in
      for digest in digests {
        state.pinned[digest, default: 0] += 1
        state.adopted[digest, default: 0] += 1
      }
    }
    defer {
      state.withLock { state in
        for digest in digests {
          let count = (state.pinned[digest] ?? 1) - 1
          state.pinned[digest] = count == 0 ? nil : count
        }
      }
    }
    try await pool.run { [shelf] in
      for offer in offers {
        switch offer.index {
        case .made(let index, let bytes): try shelf.place(index, bytes: bytes, accesses: offer.accesses)
        case .ready(let index): try shelf.place(index, accesses: offer.accesses)
        case nil: break
        }
      }
    }
    let record = LazyRecord(
      image: image,
      layers: offers.map {
        LazyRecord.Layer(mediaType: $0.blob.mediaType, digest: "\($0.blob.digest)", size: $0.blob.size, diffID: "\($0.diffID)")
      }, chain: above.map { Array(([$0.id] + $0.parentIDs).reversed()) } ?? [])
    // Where the name is taken, by the same layer on another parent, the label tells it apart.
    for name in [request.reference, "\(request.reference) on \(parent ?? "nothing")"] {
      do {
        _ = try await overlay.adopt(name, parent: parent, labels: request.labels) { try record.write(in: $0) }
        log("snapshot \(name) is lazy: \(offers.count) layers of \(image)")
        if let graduation { Task { await graduation.run() } }
        return true
      } catch let error as ContainerdError where error.code == .alreadyExists {
        if try await exists(request.reference, parent) { return true }
      }
    }
    return false
  }

  /// A committed snapshot of this layer on this parent, all of whose layers may still be believed.
  private func exists(_ reference: String, _ parent: String?) async throws -> Bool {
    let parent = parent.flatMap { $0.isEmpty ? nil : $0 }
    let found = Mutex<[String]>([])
    try await overlay.walk(.all) { info in
      if info.kind == .committed, info.parent == parent, info.labels[Self.reference] == reference || info.name == reference {
        found.withLock { $0.append(info.name) }
      }
    }
    for name in found.withLock({ $0 }) {
      guard let entry = try await entry(name) else { continue }
      let isSound = try await pool.run { [overlay, shelf] in
        try LazyRecord.read(in: overlay.directory(entry.id))?.layers.allSatisfy { !shelf.isPoisoned(try Digest(parsing: $0.digest)) } ?? true
      }
      if isSound { return true }
    }
    return false
  }

  private func entry(_ key: String) async throws -> SnapshotEntry? {
    do { return try await overlay.entry(key) } catch let error as ContainerdError where error.code == .notFound { return nil }
  }

  private func inTime<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
      group.addTask(operation: body)
      group.addTask { [patience] in
        try await Task.sleep(for: patience)
        throw ContainerdError(.deadlineExceeded, "nothing was found out within \(patience)")
      }
      defer { group.cancelAll() }
      guard let first = try await group.next() else { throw CancellationError() }
      return first
    }
  }

  // MARK: mounts

  private func mountLayers(onto parent: String?) async throws {
    guard let parent, !parent.isEmpty, let entry = try await entry(parent), entry.info.kind == .committed else { return }
    try await mountNearest([entry.id] + entry.parentIDs, forSomethingNew: parent)
  }

  private func mountLayers(under entry: SnapshotEntry) async throws { try await mountNearest(entry.parentIDs) }

  /// Before the index is asked to do anything: it does one thing at a time, and a mount may take its time.
  /// - Parameter parent: what something is about to be made on, which must not be wrong; what is there already only stands on it.
  private func mountNearest(_ ids: [Int64], forSomethingNew parent: String? = nil) async throws {
    try await pool.run { [self] in
      for id in ids {
        guard let record = try LazyRecord.read(in: overlay.directory(id)) else { continue }
        if let parent, !Graduation.isDone(overlay.directory(id)) {
          for layer in record.layers where shelf.isPoisoned(try Digest(parsing: layer.digest)) {
            throw ContainerdError.failedPrecondition(
              "snapshot \(parent): its layer \(layer.digest) is not what image \(record.image) names, and nothing can be read of it: remove the snapshot and pull the image again"
            )
          }
        }
        // A snapshot that was made before the chain graduated has the mount among its layers.
        if !Graduation.isDone(overlay.directory(id)) || mounts.isKnown(id) { try mounts.mount(id, record) }
        return
      }
    }
  }

  /// Whoever has something in it open keeps it.
  private func dropUnion(_ id: Int64) async throws {
    try await pool.run { [unions] in try unions.drop(id, force: true) }
  }

  // MARK: what is left over

  private func removeLeftovers() async throws {
    // Rows are read after the directories: what is made meanwhile has a row before it has a directory.
    let known = try await pool.run { [mounts, unions] in (mounts: try mounts.known(), unions: try unions.known()) }
    let entries = try await overlay.entries()
    let (rows, committed) = (Set(entries.map(\.id)), Set(entries.filter { $0.info.kind == .committed }.map(\.id)))
    let ended = try await pool.run { [mounts, unions, log] in
      var ended: Set<Int64> = []
      for id in known.mounts where !rows.contains(id) { try mounts.drop(id) }
      for id in known.unions {
        // One that cannot be taken away keeps no other, nor the server from beginning.
        do {
          if !rows.contains(abs(id)) { try unions.drop(id, force: true) } else if committed.contains(id), try unions.letGo(id, patience: 0) { ended.insert(id) }
        } catch { log("the union of snapshot \(id) is not taken away yet: \(error)") }
      }
      return ended
    }
    await describe(entries.filter { ended.contains($0.id) }.map { ($0.id, $0.info.name) })
    try await removeLayers(Set(try await pool.run { [shelf] in try shelf.digests() }))
  }

  /// Removes layers that no snapshot has any more.
  private func removeLayers(_ candidates: Set<Digest>) async throws {
    if candidates.isEmpty { return }
    // Before the rows are read: who is making a snapshot is seen here or there, or has begun since.
    let (pinned, adopted) = state.withLock { (Set($0.pinned.keys.map(\.description)), $0.adopted) }
    let entries = try await overlay.entries()
    try await pool.run { [self] in
      var used = pinned
      for entry in entries where entry.info.kind == .committed {
        do { for layer in try LazyRecord.read(in: overlay.directory(entry.id))?.layers ?? [] { used.insert(layer.digest) } } catch {
          log("no layer is removed, snapshot \(entry.info.name) may have it: \(error)")
          return
        }
      }
      for digest in candidates where !used.contains("\(digest)") {
        try shelf.remove(digest) { state.withLock { $0.adopted[digest] != adopted[digest] } }
      }
    }
  }
}
