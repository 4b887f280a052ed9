import Protocols

/// One namespace's keys and labels, over the backend's numbered keys.
struct InMemoryNamespacedSnapshotter: Snapshotter {
  let store: InMemoryMetadataStore
  let scope: Scope
  let name: String
  let backend: any Snapshotter

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

  func usage(_ key: String) async throws -> SnapshotUsage { try await backend.usage(try entry(key).backendKey) }
  func mounts(_ key: String) async throws -> [Mount] { try await backend.mounts(try entry(key).backendKey) }

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
      let (taken, backendParent) = try store.write(scope.namespace) { objects -> (Bool, String?) in
        // Held from now on, even if somebody else made it: the caller goes on with the snapshot that is there.
        try objects.hold(type, key, for: scope)
        if objects.snapshots[name]?[key] != nil { return (true, nil) }
        guard let parent else { return (false, nil) }
        guard let entry = objects.snapshots[name]?[parent] else { throw ContainerdError.notFound("parent snapshot \(parent)") }
        if entry.info.kind != .committed { throw ContainerdError.failedPrecondition("parent \(parent) is not a committed snapshot") }
        return (false, entry.backendKey)
      }
      if taken { throw ContainerdError.alreadyExists("snapshot \(key)") }
      let backendKey = backendKey(key)
      let mounts = try await create(backendKey, backendParent)
      try store.write(scope.namespace) { objects in
        let time = store.now()
        let info = SnapshotInfo(kind: kind, name: key, parent: parent, labels: labels, createdAt: time, updatedAt: time)
        objects.snapshots[name, default: [:]][key] = NamespaceObjects.Snapshot(backendKey: backendKey, info: info)
      }
      return mounts
    }
  }

  private func backendKey(_ key: String) -> String { "\(scope.namespace)/\(store.nextNumber())/\(key)" }

  private func entry(_ key: String) throws -> NamespaceObjects.Snapshot { try store.read(scope.namespace) { try entry($0, key) } }

  private func entry(_ objects: NamespaceObjects, _ key: String) throws -> NamespaceObjects.Snapshot {
    guard let entry = objects.snapshots[name]?[key] else { throw ContainerdError.notFound("snapshot \(key)") }
    return entry
  }

  /// Labels meant for the backend.
  private func inherited(_ labels: Labels) -> Labels {
    labels.filter { $0.key.hasPrefix("containerd.io/snapshot/") || $0.key == "containerd.io/snapshot.ref" }
  }
}
