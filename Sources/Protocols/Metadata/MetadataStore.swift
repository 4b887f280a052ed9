/// # Metadata
///
/// Names and what they hold: namespaces, images, containers, leases, and the labels and references of content and snapshots. The
/// metadata store wraps one content store and any number of snapshotters, so that namespaces share bytes and never see each
/// other's names.
///
/// Laws.
/// 1. An object and its lease are recorded in one transaction; a row never names bytes that are not durable.
/// 2. Every object is in use, leased, or collectable. `collectGarbage` removes exactly what no root reaches.
/// 3. Creating anything in an unknown namespace creates the namespace.
///
/// Roots: leases that have not expired, images, containers, and content or snapshots labelled `containerd.io/gc.root`. Edges:
/// `containerd.io/gc.ref.content[.…]`, `containerd.io/gc.ref.snapshot.NAME[/…]`, image → target, snapshot → parent, container → snapshot.
public protocol MetadataStore: Sendable {
  var namespaces: any NamespaceStore { get }
  func images(in scope: Scope) throws -> any ImageStore
  func containers(in scope: Scope) throws -> any ContainerStore
  func leases(in scope: Scope) throws -> any LeaseStore
  func content(in scope: Scope) throws -> any ContentStore
  /// `invalidArgument` for a snapshotter that is not registered.
  func snapshotter(_ name: String, in scope: Scope) throws -> any Snapshotter
  var snapshotterNames: [String] { get }

  /// Removes what no root reaches, in all namespaces, then what the backends hold beyond the metadata.
  @discardableResult
  func collectGarbage() async throws -> GarbageReport
}

public struct GarbageReport: Hashable, Sendable {
  public var content: Int
  public var snapshots: Int
  public var leases: Int
  public init(content: Int = 0, snapshots: Int = 0, leases: Int = 0) {
    self.content = content
    self.snapshots = snapshots
    self.leases = leases
  }
}

public struct NamespaceRecord: Hashable, Sendable {
  public var name: String
  public var labels: Labels
  public init(name: String, labels: Labels = [:]) {
    self.name = name
    self.labels = labels
  }
}

public protocol NamespaceStore: Sendable {
  func get(_ name: String) async throws -> NamespaceRecord
  func list() async throws -> [NamespaceRecord]
  func create(_ namespace: NamespaceRecord) async throws -> NamespaceRecord
  func update(_ namespace: NamespaceRecord, fields: FieldMask) async throws -> NamespaceRecord
  /// `failedPrecondition` while it holds images, containers, content or snapshots, naming which.
  func delete(_ name: String) async throws
}

public struct ImageRecord: Hashable, Sendable {
  public var name: String
  public var labels: Labels
  public var target: Descriptor
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
  public init(name: String, labels: Labels = [:], target: Descriptor, createdAt: Timestamp = .never, updatedAt: Timestamp = .never) {
    self.name = name
    self.labels = labels
    self.target = target
    self.createdAt = createdAt
    self.updatedAt = updatedAt
  }
}

/// Names of images. Mutable: `labels`, `annotations` of the target, `target`.
public protocol ImageStore: Sendable {
  func get(_ name: String) async throws -> ImageRecord
  /// Filter fields `name`, `target.digest`, `target.mediatype`, `labels.KEY`, `annotations.KEY`. Sorted by name.
  func list(_ filters: FilterSet) async throws -> [ImageRecord]
  /// `invalidArgument` without a name, or for a target without a media type or size.
  func create(_ image: ImageRecord) async throws -> ImageRecord
  func update(_ image: ImageRecord, fields: FieldMask) async throws -> ImageRecord
  func delete(_ name: String) async throws
}

public struct ContainerRecord: Hashable, Sendable {
  public var id: String
  public var labels: Labels
  public var image: String
  public var runtime: String
  public var runtimeOptions: TypedValue?
  public var spec: TypedValue?
  public var snapshotter: String
  public var snapshotKey: String
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
  public var extensions: [String: TypedValue]
  public var sandbox: String
  public init(
    id: String, labels: Labels = [:], image: String = "", runtime: String = "", runtimeOptions: TypedValue? = nil, spec: TypedValue? = nil,
    snapshotter: String = "", snapshotKey: String = "", createdAt: Timestamp = .never, updatedAt: Timestamp = .never,
    extensions: [String: TypedValue] = [:], sandbox: String = ""
  ) {
    self.id = id
    self.labels = labels
    self.image = image
    self.runtime = runtime
    self.runtimeOptions = runtimeOptions
    self.spec = spec
    self.snapshotter = snapshotter
    self.snapshotKey = snapshotKey
    self.createdAt = createdAt
    self.updatedAt = updatedAt
    self.extensions = extensions
    self.sandbox = sandbox
  }
}

/// Containers: what to run, not what runs. Mutable: `labels`, `spec`, `extensions`, `image`, `snapshotkey`; with an empty mask a
/// changed `snapshotter` or runtime name is `invalidArgument`.
public protocol ContainerStore: Sendable {
  func get(_ id: String) async throws -> ContainerRecord
  /// Filter fields `id`, `runtime.name`, `image`, `labels.KEY`. Sorted by id.
  func list(_ filters: FilterSet) async throws -> [ContainerRecord]
  /// `invalidArgument` without a runtime name or spec, or for an id that is no identifier.
  func create(_ container: ContainerRecord) async throws -> ContainerRecord
  func update(_ container: ContainerRecord, fields: FieldMask) async throws -> ContainerRecord
  func delete(_ id: String) async throws
}

public struct LeaseRecord: Hashable, Sendable {
  public var id: String
  /// `containerd.io/gc.expire`: RFC 3339 time after which the lease holds nothing. `containerd.io/gc.flat`: references of what it holds are not
  /// followed.
  public var labels: Labels
  public var createdAt: Timestamp
  public init(id: String, labels: Labels = [:], createdAt: Timestamp = .never) {
    self.id = id
    self.labels = labels
    self.createdAt = createdAt
  }
}

/// Something that a lease holds. Types: `content` (a digest), `ingests` (a ref), `snapshots/NAME` (a key), `images` (a name).
public struct LeaseResource: Hashable, Sendable {
  public var type: String
  public var id: String
  public init(type: String, id: String) {
    self.type = type
    self.id = id
  }
}

public protocol LeaseStore: Sendable {
  func create(_ lease: LeaseRecord) async throws -> LeaseRecord
  /// What only this lease held becomes collectable.
  func delete(_ id: String) async throws
  /// Filter fields `id`, `labels.KEY`. Sorted by id.
  func list(_ filters: FilterSet) async throws -> [LeaseRecord]
  func addResource(_ resource: LeaseResource, to lease: String) async throws
  func deleteResource(_ resource: LeaseResource, from lease: String) async throws
  func resources(of lease: String) async throws -> [LeaseResource]
}
