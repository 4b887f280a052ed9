import Protocols
import Synchronization

/// One namespace's keys and labels, over the backend's numbered keys.
struct InMemoryNamespacedSnapshotter: Snapshotter {
  let store: InMemoryMetadataStore
  let scope: Scope
  let name: String
  let backend: any Snapshotter

  private static let reference = "containerd.io/snapshot.ref"
  private var type: String { "snapshots/\(name)" }

  func stat(_ key: String) async throws -> SnapshotInfo {
    try await store.instrument.enter("snapshots.stat", key)
    return try entry(key).info
  }

  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo {
    let after = try await store.instrument.enter("snapshots.update", info.name)
    try fields.validate(object: "snapshot \(info.name)")
    let updated = try store.write(scope.namespace) { objects in
      var entry = try entry(objects, info.name)
      entry.info.labels = fields.updatedLabels(of: entry.info.labels, from: info.labels)
      try entry.info.labels.validateLabels()
      entry.info.updatedAt = store.now()
      objects.snapshots[name]?[info.name] = entry
      return entry.info
    }
    try after.finish()
    return updated
  }

  func usage(_ key: String) async throws -> SnapshotUsage { try await asking(key) { try await backend.usage($0) } }
  func mounts(_ key: String) async throws -> [Mount] { try await asking(key) { try await backend.mounts($0) } }

  private func asking<Answer: Sendable>(_ key: String, _ call: (_ backendKey: String) async throws -> Answer) async throws -> Answer {
    let backendKey = try entry(key).backendKey
    do { return try await call(backendKey) } catch let error as ContainerdError where error.code == .notFound {
      // A commit that is under way has given it its new name there, and not yet here: it comes first.
      let now = try await store.turn.pass { try entry(key).backendKey }
      if now == backendKey { throw error }
      return try await call(now)
    }
  }

  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let after = try await store.instrument.enter("snapshots.prepare", key, parent ?? "")
    let mounts = try await make(.active, key, parent, labels) { try await backend.prepare($0, parent: $1, labels: inherited(labels)) }
    store.publish(.snapshotPrepare(key: key, parent: parent ?? "", snapshotter: name), in: scope.namespace)
    try after.finish()
    return mounts
  }

  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount] {
    let after = try await store.instrument.enter("snapshots.view", key, parent ?? "")
    let mounts = try await make(.view, key, parent, labels) { try await backend.view($0, parent: $1, labels: inherited(labels)) }
    try after.finish()
    return mounts
  }

  func commit(_ newName: String, key: String, labels: Labels) async throws {
    let after = try await store.instrument.enter("snapshots.commit", newName, key)
    if newName.isEmpty { throw ContainerdError.invalidArgument("snapshot name must not be empty") }
    try labels.validateLabels()
    try await store.turn.pass {
      let taken = try store.write(scope.namespace) { objects in
        let old = try entry(objects, key)
        if old.info.kind != .active { throw ContainerdError.failedPrecondition("snapshot \(key) is not active") }
        if objects.snapshots[name]?[newName] == nil { return false }
        try objects.hold(type, newName, for: scope)
        return true
      }
      if taken { throw ContainerdError.alreadyExists("snapshot \(newName)") }
      let old = try entry(key)
      let backendName = backendKey(newName)
      try await backend.commit(backendName, key: old.backendKey, labels: inherited(labels))
      try store.write(scope.namespace) { objects in
        let time = store.now()
        let info = SnapshotInfo(kind: .committed, name: newName, parent: old.info.parent, labels: labels, createdAt: time, updatedAt: time)
        objects.snapshots[name]?[key] = nil
        objects.release(type, key)
        objects.snapshots[name, default: [:]][newName] = NamespaceObjects.Snapshot(backendKey: backendName, info: info)
        try objects.hold(type, newName, for: scope)
      }
    }
    store.publish(.snapshotCommit(key: key, name: newName, snapshotter: name), in: scope.namespace)
    try after.finish()
  }

  /// Only the name goes; the tree follows with the next collection.
  func remove(_ key: String) async throws {
    let after = try await store.instrument.enter("snapshots.remove", key)
    // In turn: a child that is being made must find its parent, or not begin.
    try await store.turn.pass {
      try store.write(scope.namespace) { objects in
        _ = try entry(objects, key)
        if objects.snapshots[name]?.values.contains(where: { $0.info.parent == key }) == true {
          throw ContainerdError.failedPrecondition("cannot remove snapshot \(key): it has children")
        }
        objects.snapshots[name]?[key] = nil
        objects.release(type, key)
      }
    }
    store.publish(.snapshotRemove(key: key, snapshotter: name), in: scope.namespace)
    try after.finish()
  }

  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws {
    try await store.instrument.enter("snapshots.walk")
    let infos = try store.read(scope.namespace) { objects in (objects.snapshots[name] ?? [:]).values.map(\.info).filter(filters.matches) }
    for info in infos { try await visit(info) }
  }

  func cleanup() async throws { try await backend.cleanup() }

  /// The backend outlives every view of it.
  func close() async throws {}

  // MARK: helpers

  private func make(
    _ kind: SnapshotInfo.Kind, _ key: String, _ parent: String?, _ labels: Labels, _ create: (String, String?) async throws -> [Mount]
  ) async throws -> [Mount] {
    if key.isEmpty { throw ContainerdError.invalidArgument("snapshot key must not be empty") }
    try labels.validateLabels()
    let parent = parent == "" ? nil : parent
    return try await store.turn.pass {
      let target = labels[Self.reference].flatMap { $0.isEmpty ? nil : $0 }
      let isThere = try store.write(scope.namespace) { objects in
        guard let target, objects.snapshots[name]?[target] != nil else { return false }
        try objects.hold(type, target, for: scope)
        return true
      }
      if isThere { throw ContainerdError.alreadyExists("target snapshot \(target ?? "")") }
      let (taken, backendParent) = try store.write(scope.namespace) { objects -> (Bool, String?) in
        // Held from now on, even if somebody else made it: the caller goes on with the snapshot that is there.
        try objects.hold(type, key, for: scope)
        if objects.snapshots[name]?[key] != nil { return (true, nil) }
        guard let parent else { return (false, nil) }
        guard let entry = objects.snapshots[name]?[parent] else { throw ContainerdError.notFound("parent snapshot \(parent)") }
        if entry.info.kind != .committed { throw ContainerdError.invalidArgument("parent \(parent) is not a committed snapshot") }
        return (false, entry.backendKey)
      }
      if taken { throw ContainerdError.alreadyExists("snapshot \(key)") }
      let backendKey = backendKey(key)
      let mounts: [Mount]
      do { mounts = try await create(backendKey, backendParent) } catch let error as ContainerdError where error.code == .alreadyExists {
        try store.write(scope.namespace) { $0.release(type, key) }
        guard let target, let found = try await find(target, on: backendParent) else {
          throw ContainerdError(.unknown, "snapshotter \(name) has the new snapshot \(key) already: \(error)")
        }
        try store.write(scope.namespace) { objects in
          let info = SnapshotInfo(
            kind: .committed, name: target, parent: parent, labels: found.labels.merging(labels) { $1 }, createdAt: found.createdAt, updatedAt: found.updatedAt)
          objects.snapshots[name, default: [:]][target] = NamespaceObjects.Snapshot(backendKey: found.name, info: info)
          try objects.hold(type, target, for: scope)
        }
        throw ContainerdError.alreadyExists("target snapshot \(target)")
      }
      try store.write(scope.namespace) { objects in
        let time = store.now()
        let info = SnapshotInfo(kind: kind, name: key, parent: parent, labels: labels, createdAt: time, updatedAt: time)
        objects.snapshots[name, default: [:]][key] = NamespaceObjects.Snapshot(backendKey: backendKey, info: info)
      }
      return mounts
    }
  }

  /// The backend's committed snapshot that is the target on this parent.
  private func find(_ target: String, on parent: String?) async throws -> SnapshotInfo? {
    let found = Mutex<SnapshotInfo?>(nil)
    try await backend.walk(.all) { info in
      if info.kind == .committed, info.labels[Self.reference] == target, info.parent == parent { found.withLock { $0 = info } }
    }
    return found.withLock { $0 }
  }

  private func backendKey(_ key: String) -> String { "\(scope.namespace)/\(store.nextNumber())/\(key)" }

  private func entry(_ key: String) throws -> NamespaceObjects.Snapshot { try store.read(scope.namespace) { try entry($0, key) } }

  private func entry(_ objects: NamespaceObjects, _ key: String) throws -> NamespaceObjects.Snapshot {
    guard let entry = objects.snapshots[name]?[key] else { throw ContainerdError.notFound("snapshot \(key)") }
    return entry
  }

  /// Labels meant for the backend.
  private func inherited(_ labels: Labels) -> Labels {
    labels.filter { $0.key.hasPrefix("containerd.io/snapshot/") || $0.key == Self.reference }
  }
}
