import Protocols

struct InMemoryLeaseStore: LeaseStore {
  let store: InMemoryMetadataStore
  let scope: Scope

  func create(_ lease: LeaseRecord) async throws -> LeaseRecord {
    let after = try await store.instrument.enter("leases.create", lease.id)
    if lease.id.isEmpty { throw ContainerdError.invalidArgument("lease id must not be empty") }
    try lease.labels.validateLabels()
    var created = lease
    created.createdAt = store.now()
    try store.write(scope.namespace) { [created] objects in
      if objects.leases[created.id] != nil { throw ContainerdError.alreadyExists("lease \"\(created.id)\"") }
      objects.leases[created.id] = created
    }
    try after.finish()
    return created
  }

  func delete(_ id: String) async throws {
    let after = try await store.instrument.enter("leases.delete", id)
    try store.write(scope.namespace) { objects in
      try Self.require(objects, id)
      objects.leases[id] = nil
      objects.held[id] = nil
    }
    try after.finish()
  }

  func list(_ filters: FilterSet) async throws -> [LeaseRecord] {
    try await store.instrument.enter("leases.list")
    return try store.read(scope.namespace) { $0.leases.values.filter(filters.matches).sorted { $0.id < $1.id } }
  }

  func addResource(_ resource: LeaseResource, to lease: String) async throws {
    try await store.instrument.enter("leases.addResource", lease, resource.type, resource.id)
    try Self.validate(resource)
    try store.write(scope.namespace) { try $0.hold(resource.type, resource.id, for: Scope(namespace: scope.namespace, lease: lease)) }
  }

  func deleteResource(_ resource: LeaseResource, from lease: String) async throws {
    try await store.instrument.enter("leases.deleteResource", lease, resource.type, resource.id)
    try Self.validate(resource)
    try store.write(scope.namespace) { objects in
      try Self.require(objects, lease)
      objects.held[lease]?.remove(resource)
    }
  }

  func resources(of lease: String) async throws -> [LeaseResource] {
    try await store.instrument.enter("leases.resources", lease)
    return try store.read(scope.namespace) { objects in
      try Self.require(objects, lease)
      return (objects.held[lease] ?? []).sorted { ($0.type, $0.id) < ($1.type, $1.id) }
    }
  }

  private static func require(_ objects: NamespaceObjects, _ id: String) throws {
    if objects.leases[id] == nil { throw ContainerdError.notFound("lease \"\(id)\"") }
  }

  private static func validate(_ resource: LeaseResource) throws {
    let parts = resource.type.split(separator: "/", omittingEmptySubsequences: false)
    switch parts.first {
    case "content" where parts.count == 1: _ = try Digest(parsing: resource.id)
    case "ingests" where parts.count == 1, "images" where parts.count == 1: break
    case "snapshots" where parts.count == 2 && !parts[1].isEmpty: break
    default: throw ContainerdError.notImplemented("lease resource type \"\(resource.type)\"")
    }
    if resource.id.isEmpty { throw ContainerdError.invalidArgument("lease resource id must not be empty") }
  }
}
