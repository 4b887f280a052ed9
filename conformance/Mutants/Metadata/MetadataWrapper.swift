import Protocols

/// A metadata store around another; the stores in it are handed through `on…` where given.
struct MetadataWrapper: MetadataStore {
  typealias Store = any MetadataStore

  let base: Store
  var wrapNamespaces: (@Sendable (any NamespaceStore) -> any NamespaceStore)?
  var wrapImages: (@Sendable (any ImageStore, Store, Scope) throws -> any ImageStore)?
  var wrapContainers: (@Sendable (any ContainerStore, Scope) -> any ContainerStore)?
  var wrapLeases: (@Sendable (any LeaseStore, Store, Scope) throws -> any LeaseStore)?
  var wrapContent: (@Sendable (any ContentStore, Store, Scope) throws -> any ContentStore)?
  var wrapSnapshots: (@Sendable (any Snapshotter, Store, Scope) throws -> any Snapshotter)?
  /// What a scope becomes before anybody sees it.
  var onScope: (@Sendable (Scope) -> Scope)?
  var onSnapshotter: (@Sendable (Store, String, Scope) throws -> any Snapshotter)?
  var onCollect: (@Sendable (Store) async throws -> GarbageReport)?

  init(_ base: Store, _ change: (inout MetadataWrapper) -> Void = { _ in }) {
    self.base = base
    change(&self)
  }

  private func scope(_ scope: Scope) -> Scope { onScope.map { $0(scope) } ?? scope }

  var namespaces: any NamespaceStore { wrapNamespaces.map { $0(base.namespaces) } ?? base.namespaces }
  func images(in asked: Scope) throws -> any ImageStore {
    let images = try base.images(in: scope(asked))
    return try wrapImages.map { try $0(images, base, asked) } ?? images
  }
  func containers(in asked: Scope) throws -> any ContainerStore {
    let containers = try base.containers(in: scope(asked))
    return wrapContainers.map { $0(containers, asked) } ?? containers
  }
  func leases(in asked: Scope) throws -> any LeaseStore {
    let leases = try base.leases(in: scope(asked))
    return try wrapLeases.map { try $0(leases, base, asked) } ?? leases
  }
  func content(in asked: Scope) throws -> any ContentStore {
    let content = try base.content(in: scope(asked))
    return try wrapContent.map { try $0(content, base, asked) } ?? content
  }
  func snapshotter(_ name: String, in asked: Scope) throws -> any Snapshotter {
    let snapshotter = try onSnapshotter.map { try $0(base, name, scope(asked)) } ?? base.snapshotter(name, in: scope(asked))
    return try wrapSnapshots.map { try $0(snapshotter, base, asked) } ?? snapshotter
  }
  var snapshotterNames: [String] { base.snapshotterNames }

  @discardableResult
  func collectGarbage() async throws -> GarbageReport {
    if let onCollect { return try await onCollect(base) }
    return try await base.collectGarbage()
  }
}

struct NamespaceStoreWrapper: NamespaceStore {
  let base: any NamespaceStore
  var onList: (@Sendable (any NamespaceStore) async throws -> [NamespaceRecord])?
  var onCreate: (@Sendable (any NamespaceStore, NamespaceRecord) async throws -> NamespaceRecord)?
  var onUpdate: (@Sendable (any NamespaceStore, NamespaceRecord, FieldMask) async throws -> NamespaceRecord)?
  var onDelete: (@Sendable (any NamespaceStore, String) async throws -> Void)?

  init(_ base: any NamespaceStore, _ change: (inout Self) -> Void) {
    self.base = base
    change(&self)
  }

  func get(_ name: String) async throws -> NamespaceRecord { try await base.get(name) }
  func list() async throws -> [NamespaceRecord] {
    if let onList { return try await onList(base) }
    return try await base.list()
  }
  func create(_ namespace: NamespaceRecord) async throws -> NamespaceRecord {
    if let onCreate { return try await onCreate(base, namespace) }
    return try await base.create(namespace)
  }
  func update(_ namespace: NamespaceRecord, fields: FieldMask) async throws -> NamespaceRecord {
    if let onUpdate { return try await onUpdate(base, namespace, fields) }
    return try await base.update(namespace, fields: fields)
  }
  func delete(_ name: String) async throws {
    if let onDelete { return try await onDelete(base, name) }
    try await base.delete(name)
  }
}

struct ImageStoreWrapper: ImageStore {
  let base: any ImageStore
  var onList: (@Sendable (any ImageStore, FilterSet) async throws -> [ImageRecord])?
  var onCreate: (@Sendable (any ImageStore, ImageRecord) async throws -> ImageRecord)?
  var onUpdate: (@Sendable (any ImageStore, ImageRecord, FieldMask) async throws -> ImageRecord)?
  var onDelete: (@Sendable (any ImageStore, String) async throws -> Void)?

  init(_ base: any ImageStore, _ change: (inout Self) -> Void) {
    self.base = base
    change(&self)
  }

  func get(_ name: String) async throws -> ImageRecord { try await base.get(name) }
  func list(_ filters: FilterSet) async throws -> [ImageRecord] {
    if let onList { return try await onList(base, filters) }
    return try await base.list(filters)
  }
  func create(_ image: ImageRecord) async throws -> ImageRecord {
    if let onCreate { return try await onCreate(base, image) }
    return try await base.create(image)
  }
  func update(_ image: ImageRecord, fields: FieldMask) async throws -> ImageRecord {
    if let onUpdate { return try await onUpdate(base, image, fields) }
    return try await base.update(image, fields: fields)
  }
  func delete(_ name: String) async throws {
    if let onDelete { return try await onDelete(base, name) }
    try await base.delete(name)
  }
}

struct ContainerStoreWrapper: ContainerStore {
  let base: any ContainerStore
  var onCreate: (@Sendable (any ContainerStore, ContainerRecord) async throws -> ContainerRecord)?
  var onUpdate: (@Sendable (any ContainerStore, ContainerRecord, FieldMask) async throws -> ContainerRecord)?

  init(_ base: any ContainerStore, _ change: (inout Self) -> Void) {
    self.base = base
    change(&self)
  }

  func get(_ id: String) async throws -> ContainerRecord { try await base.get(id) }
  func list(_ filters: FilterSet) async throws -> [ContainerRecord] { try await base.list(filters) }
  func create(_ container: ContainerRecord) async throws -> ContainerRecord {
    if let onCreate { return try await onCreate(base, container) }
    return try await base.create(container)
  }
  func update(_ container: ContainerRecord, fields: FieldMask) async throws -> ContainerRecord {
    if let onUpdate { return try await onUpdate(base, container, fields) }
    return try await base.update(container, fields: fields)
  }
  func delete(_ id: String) async throws { try await base.delete(id) }
}

struct LeaseStoreWrapper: LeaseStore {
  let base: any LeaseStore
  var onCreate: (@Sendable (any LeaseStore, LeaseRecord) async throws -> LeaseRecord)?
  var onDelete: (@Sendable (any LeaseStore, String) async throws -> Void)?
  var onList: (@Sendable (any LeaseStore, FilterSet) async throws -> [LeaseRecord])?
  var onAdd: (@Sendable (any LeaseStore, LeaseResource, String) async throws -> Void)?
  var onRemove: (@Sendable (any LeaseStore, LeaseResource, String) async throws -> Void)?

  init(_ base: any LeaseStore, _ change: (inout Self) -> Void) {
    self.base = base
    change(&self)
  }

  func create(_ lease: LeaseRecord) async throws -> LeaseRecord {
    if let onCreate { return try await onCreate(base, lease) }
    return try await base.create(lease)
  }
  func delete(_ id: String) async throws {
    if let onDelete { return try await onDelete(base, id) }
    try await base.delete(id)
  }
  func list(_ filters: FilterSet) async throws -> [LeaseRecord] {
    if let onList { return try await onList(base, filters) }
    return try await base.list(filters)
  }
  func addResource(_ resource: LeaseResource, to lease: String) async throws {
    if let onAdd { return try await onAdd(base, resource, lease) }
    try await base.addResource(resource, to: lease)
  }
  func deleteResource(_ resource: LeaseResource, from lease: String) async throws {
    if let onRemove { return try await onRemove(base, resource, lease) }
    try await base.deleteResource(resource, from: lease)
  }
  func resources(of lease: String) async throws -> [LeaseResource] { try await base.resources(of: lease) }
}
