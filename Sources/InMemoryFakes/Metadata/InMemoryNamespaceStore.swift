import Protocols
import Synchronization

struct InMemoryNamespaceStore: NamespaceStore {
  let store: InMemoryMetadataStore

  func get(_ name: String) async throws -> NamespaceRecord {
    try await store.instrument.enter("namespaces.get", name)
    return try store.state.withLock { NamespaceRecord(name: name, labels: try Self.objects($0, name).labels) }
  }

  func list() async throws -> [NamespaceRecord] {
    try await store.instrument.enter("namespaces.list")
    return store.state.withLock { $0.namespaces.map { NamespaceRecord(name: $0, labels: $1.labels) } }.sorted { $0.name < $1.name }
  }

  func create(_ namespace: NamespaceRecord) async throws -> NamespaceRecord {
    let after = try await store.instrument.enter("namespaces.create", namespace.name)
    try Identifiers.validate(namespace.name, kind: "namespace")
    try namespace.labels.validateLabels()
    try store.state.withLock { state in
      if state.namespaces[namespace.name] != nil { throw ContainerdError.alreadyExists("namespace \"\(namespace.name)\"") }
      state.namespaces[namespace.name] = NamespaceObjects(labels: namespace.labels)
    }
    store.publish(.namespaceCreate(name: namespace.name, labels: namespace.labels), in: namespace.name)
    try after.finish()
    return namespace
  }

  func update(_ namespace: NamespaceRecord, fields: FieldMask) async throws -> NamespaceRecord {
    let after = try await store.instrument.enter("namespaces.update", namespace.name)
    try Identifiers.validate(namespace.name, kind: "namespace")
    try fields.validate(object: "namespace \"\(namespace.name)\"")
    let labels = try store.write(namespace.name) { objects in
      objects.labels = fields.updatedLabels(of: objects.labels, from: namespace.labels)
      try objects.labels.validateLabels()
      return objects.labels
    }
    store.publish(.namespaceUpdate(name: namespace.name, labels: labels), in: namespace.name)
    try after.finish()
    return NamespaceRecord(name: namespace.name, labels: labels)
  }

  func delete(_ name: String) async throws {
    let after = try await store.instrument.enter("namespaces.delete", name)
    try store.state.withLock { state in
      let obstacles = try Self.objects(state, name).obstacles
      if !obstacles.isEmpty {
        throw ContainerdError.failedPrecondition("namespace \"\(name)\" must be empty, but it still has \(obstacles.joined(separator: ", "))")
      }
      state.namespaces[name] = nil
    }
    store.publish(.namespaceDelete(name: name), in: name)
    try after.finish()
  }

  private static func objects(_ state: Objects, _ name: String) throws -> NamespaceObjects {
    guard let objects = state.namespaces[name] else { throw ContainerdError.notFound("namespace \"\(name)\"") }
    return objects
  }
}
