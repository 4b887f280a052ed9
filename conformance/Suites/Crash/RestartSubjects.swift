import Protocols

/// A snapshotter in a process of its own that has not been started yet, on an empty directory.
public struct RestartSnapshotSubject: Sendable {
  public var process: any BackendProcess
  /// A way to the snapshotter of the process that runs now: asked for after every start.
  public var open: @Sendable () async throws -> any Snapshotter
  /// Performs the mounts. nil where there are no files.
  public var trees: (any TreeAccess)?
  /// Where it keeps what, where that is known.
  public var layout: SnapshotLayout?
  /// For how many seconds a backend that was started again may still be putting in order what its end left.
  public var settling: Double
  /// Directories of snapshots that the backend has on disk, where one can see them.
  public var leftovers: (@Sendable () async throws -> [String])?
  public var keep: (any Sendable)?

  public init(
    process: any BackendProcess, trees: (any TreeAccess)? = nil, layout: SnapshotLayout? = nil, settling: Double = 0,
    leftovers: (@Sendable () async throws -> [String])? = nil, keep: (any Sendable)? = nil,
    open: @escaping @Sendable () async throws -> any Snapshotter
  ) {
    self.process = process
    self.open = open
    self.trees = trees
    self.layout = layout
    self.settling = settling
    self.leftovers = leftovers
    self.keep = keep
  }
}

/// A content store in a process of its own that has not been started yet, on an empty directory.
public struct RestartContentSubject: Sendable {
  public var process: any BackendProcess
  /// A way to the store of the process that runs now: asked for after every start.
  public var open: @Sendable () async throws -> any ContentStore
  public var digest: @Sendable ([UInt8]) -> Digest
  /// What this store may do where the contract leaves it open.
  public var rules: ContentRules
  /// The files of blobs, where they are known: one each, by the blob's digest.
  public var blobs: (@Sendable (Digest) -> String)?
  /// For how many seconds a store that was started again may still be putting in order what its end left.
  public var settling: Double
  public var keep: (any Sendable)?

  public init(
    process: any BackendProcess, rules: ContentRules = .store, blobs: (@Sendable (Digest) -> String)? = nil, settling: Double = 0,
    keep: (any Sendable)? = nil, digest: @escaping @Sendable ([UInt8]) -> Digest,
    open: @escaping @Sendable () async throws -> any ContentStore
  ) {
    self.process = process
    self.rules = rules
    self.open = open
    self.digest = digest
    self.blobs = blobs
    self.settling = settling
    self.keep = keep
  }
}

/// A metadata store over backends of its own, in a process that has not been started yet, on an empty directory.
public struct RestartMetadataSubject: Sendable {
  public var process: any BackendProcess
  /// A way to the store of the process that runs now: asked for after every start.
  public var open: @Sendable () async throws -> MetadataSubject
  /// The file that says what there is, where that is known.
  public var database: String?
  /// Makes the database look as if a later version had written it.
  public var age: (@Sendable (_ database: String) throws -> Void)?
  /// For how many seconds a store that was started again may still be putting in order what its end left.
  public var settling: Double
  public var keep: (any Sendable)?

  public init(
    process: any BackendProcess, database: String? = nil, age: (@Sendable (String) throws -> Void)? = nil, settling: Double = 0, keep: (any Sendable)? = nil,
    open: @escaping @Sendable () async throws -> MetadataSubject
  ) {
    self.process = process
    self.open = open
    self.database = database
    self.age = age
    self.settling = settling
    self.keep = keep
  }
}

/// Where a snapshotter keeps what, for cases that count, damage or fill it.
public struct SnapshotLayout: Sendable {
  /// The directory that has one entry for each snapshot.
  public var snapshots: String
  /// What of an entry of that directory is the snapshot's tree: `fs`. Empty if the entry itself is.
  public var tree: String
  /// The file that says which snapshots there are.
  public var database: String
  /// How the names of directories begin that are being made, and that are being removed.
  public var staging: [String]
  /// Makes the database look as if a later version had written it. nil where the form has no version.
  public var age: (@Sendable (_ database: String) throws -> Void)?

  public init(snapshots: String, tree: String, database: String, staging: [String], age: (@Sendable (String) throws -> Void)? = nil) {
    self.snapshots = snapshots
    self.tree = tree
    self.database = database
    self.staging = staging
    self.age = age
  }
}

extension Capability {
  /// The process has named places at which it can be made to die.
  public static let faultPlaces = Capability("faultPlaces")
  /// Where the backend keeps what is known.
  public static let layout = Capability("layout")
  /// The backend's database says which version wrote it.
  public static let versionedDatabase = Capability("versionedDatabase")
}
