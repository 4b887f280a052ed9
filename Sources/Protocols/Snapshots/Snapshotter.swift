/// # Snapshots
///
/// A snapshotter keeps file system trees, each made on top of a parent. It hands out *mounts*; it never looks inside a tree,
/// and knows no image, tar, digest or container.
///
///     let mounts = try await snapshotter.prepare("extract-1", parent: nil, labels: [:])   // an active snapshot
///     … perform the mounts, write the layer …
///     try await snapshotter.commit("sha256:chain-1", key: "extract-1", labels: [:])       // now committed, immutable
///     let root = try await snapshotter.prepare("container-1", parent: "sha256:chain-1", labels: [:])
///
/// Three kinds share one key space: *active* (writable), *view* (read-only, of a committed parent), *committed* (a parent of
/// others). Keys are opaque text of at least one byte.
///
/// Laws.
/// 1. Only a committed snapshot may be a parent; committing renames an active key to `name` atomically, and the key is gone.
/// 2. A snapshot with children cannot be removed (`failedPrecondition`).
/// 3. Mounts of one key are the same each time they are asked for, until it is committed or removed.
/// 4. What a crash leaves half-made is never listed, and is removed by `cleanup` at the latest.
/// 5. When `commit` returns, the metadata is durable.
///
/// All methods may be called concurrently. Every error is a `ContainerdError`.
public protocol Snapshotter: Sendable {
  /// `notFound` if there is no such key.
  func stat(_ key: String) async throws -> SnapshotInfo

  /// Changes labels as the mask says, and returns what is stored; other paths are `invalidArgument`.
  func update(_ info: SnapshotInfo, fields: FieldMask) async throws -> SnapshotInfo

  /// Active and view: what it takes now, without its parents. Committed: what it took when committed. Bytes are allocated
  /// ones; a file with several names counts once.
  func usage(_ key: String) async throws -> SnapshotUsage

  /// Mounts of an active snapshot or view; `notFound` for an unknown key, `failedPrecondition` for a committed one.
  func mounts(_ key: String) async throws -> [Mount]

  /// Makes an active snapshot. `alreadyExists` if the key is taken; `notFound` if the parent does not exist; `invalidArgument`
  /// if the parent is not committed, and for an empty key.
  func prepare(_ key: String, parent: String?, labels: Labels) async throws -> [Mount]

  /// Makes a read-only view of a committed parent. Errors as `prepare`.
  func view(_ key: String, parent: String?, labels: Labels) async throws -> [Mount]

  /// Turns the active `key` into the committed `name`. `alreadyExists` if the name is taken; `notFound` for an unknown key;
  /// `failedPrecondition` if the key is not active. Labels given here are the committed snapshot's labels.
  func commit(_ name: String, key: String, labels: Labels) async throws

  /// `notFound` for an unknown key; `failedPrecondition` while it has children.
  func remove(_ key: String) async throws

  /// Visits every snapshot that a filter matches (fields `kind`, `name`, `parent`, `labels.KEY`), in no order. The
  /// visitor may use the snapshotter; an error that it throws ends the walk and is thrown.
  func walk(_ filters: FilterSet, _ visit: @Sendable (SnapshotInfo) async throws -> Void) async throws

  /// Frees what removed or half-made snapshots left behind.
  func cleanup() async throws

  /// Lets go of resources; snapshots stay. Calls after it are `failedPrecondition`.
  func close() async throws
}

public struct SnapshotInfo: Hashable, Sendable {
  public enum Kind: String, Sendable { case view = "View", active = "Active", committed = "Committed" }

  public var kind: Kind
  /// Key or, once committed, name.
  public var name: String
  /// nil for a base.
  public var parent: String?
  public var labels: Labels
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    kind: Kind, name: String, parent: String? = nil, labels: Labels = [:], createdAt: Timestamp = .never, updatedAt: Timestamp = .never
  ) {
    self.kind = kind
    self.name = name
    self.parent = parent
    self.labels = labels
    self.createdAt = createdAt
    self.updatedAt = updatedAt
  }
}

public struct SnapshotUsage: Hashable, Sendable {
  public var inodes: Int64
  /// Allocated bytes.
  public var size: Int64
  public init(inodes: Int64 = 0, size: Int64 = 0) {
    self.inodes = inodes
    self.size = size
  }
}
