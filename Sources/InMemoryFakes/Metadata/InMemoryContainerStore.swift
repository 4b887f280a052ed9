import Protocols

struct InMemoryContainerStore: ContainerStore {
  let store: InMemoryMetadataStore
  let scope: Scope

  func get(_ id: String) async throws -> ContainerRecord {
    try await store.instrument.enter("containers.get", id)
    return try store.read(scope.namespace) { try container($0, id) }
  }

  func list(_ filters: FilterSet) async throws -> [ContainerRecord] {
    try await store.instrument.enter("containers.list")
    return try store.read(scope.namespace) { $0.containers.values.filter(filters.matches).sorted { $0.id < $1.id } }
  }

  func create(_ container: ContainerRecord) async throws -> ContainerRecord {
    let after = try await store.instrument.enter("containers.create", container.id)
    try Identifiers.validate(container.id, kind: "container id")
    try Self.validate(container)
    var created = container
    created.createdAt = store.now()
    created.updatedAt = created.createdAt
    try store.write(scope.namespace) { [created] objects in
      if objects.containers[created.id] != nil { throw ContainerdError.alreadyExists("container \"\(created.id)\"") }
      objects.containers[created.id] = created
    }
    store.publish(
      .containerCreate(id: created.id, image: created.image, runtime: created.runtime, options: created.runtimeOptions), in: scope.namespace)
    try after.finish()
    return created
  }

  func update(_ container: ContainerRecord, fields: FieldMask) async throws -> ContainerRecord {
    let after = try await store.instrument.enter("containers.update", container.id)
    try fields.validate(fields: ["spec", "image", "snapshotkey"], maps: ["labels", "extensions"], object: "container \"\(container.id)\"")
    let updated = try store.write(scope.namespace) { objects in
      let stored = try Self.changed(try self.container(objects, container.id), by: container, fields)
      objects.containers[stored.id] = stored
      objects.containers[stored.id]?.updatedAt = store.now()
      return try self.container(objects, container.id)
    }
    store.publish(
      .containerUpdate(id: updated.id, image: updated.image, labels: updated.labels, snapshotKey: updated.snapshotKey), in: scope.namespace)
    try after.finish()
    return updated
  }

  func delete(_ id: String) async throws {
    let after = try await store.instrument.enter("containers.delete", id)
    try store.write(scope.namespace) { objects in
      _ = try container(objects, id)
      objects.containers[id] = nil
    }
    store.publish(.containerDelete(id: id), in: scope.namespace)
    try after.finish()
  }

  private func container(_ objects: NamespaceObjects, _ id: String) throws -> ContainerRecord {
    guard let container = objects.containers[id] else { throw ContainerdError.notFound("container \"\(id)\" in namespace \"\(scope.namespace)\"") }
    return container
  }

  private static func changed(_ old: ContainerRecord, by new: ContainerRecord, _ fields: FieldMask) throws -> ContainerRecord {
    if fields.isEmpty {
      if new.snapshotter != old.snapshotter { throw immutable("snapshotter", old.id) }
      if new.runtime != old.runtime { throw immutable("runtime.name", old.id) }
    }
    func wants(_ field: String) -> Bool { fields.isEmpty || fields.paths.contains(field) }
    var result = old
    result.labels = fields.updatedLabels(of: old.labels, from: new.labels)
    if wants("spec") { result.spec = new.spec }
    if wants("image") { result.image = new.image }
    if wants("snapshotkey") { result.snapshotKey = new.snapshotKey }
    if wants("extensions") { result.extensions = new.extensions }
    for path in fields.paths where path.hasPrefix("extensions.") {
      let key = String(path.dropFirst("extensions.".count))
      result.extensions[key] = new.extensions[key]
    }
    try validate(result)
    return result
  }

  private static func immutable(_ field: String, _ id: String) -> ContainerdError { .invalidArgument("container \"\(id)\": field \(field) is immutable") }

  private static func validate(_ container: ContainerRecord) throws {
    if container.runtime.isEmpty { throw ContainerdError.invalidArgument("container \"\(container.id)\": runtime name must be set") }
    if container.spec == nil { throw ContainerdError.invalidArgument("container \"\(container.id)\": spec must be set") }
    if !container.snapshotKey.isEmpty && container.snapshotter.isEmpty {
      throw ContainerdError.invalidArgument("container \"\(container.id)\": a snapshot key needs a snapshotter")
    }
    if container.extensions.keys.contains("") { throw ContainerdError.invalidArgument("container \"\(container.id)\": extension with an empty key") }
    try container.labels.validateLabels()
  }
}
