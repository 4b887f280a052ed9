import Protocols

/// What the services stand on: protocols only.
public struct Backends: Sendable {
  public var metadata: any MetadataStore
  public var applier: any LayerApplier
  public var differ: any LayerDiffer
  public var runtime: any Runtime
  public var events: any EventExchange
  /// Asks for a collection soon; returns at once.
  public var scheduleCollection: @Sendable () -> Void
  public var plugins: [Plugin]
  public var identity: Identity

  public init(
    metadata: any MetadataStore, applier: any LayerApplier, differ: any LayerDiffer, runtime: any Runtime, events: any EventExchange,
    scheduleCollection: @escaping @Sendable () -> Void, plugins: [Plugin], identity: Identity
  ) {
    self.metadata = metadata
    self.applier = applier
    self.differ = differ
    self.runtime = runtime
    self.events = events
    self.scheduleCollection = scheduleCollection
    self.plugins = plugins
    self.identity = identity
  }
}

/// A component as the introspection service lists it.
public struct Plugin: Sendable, Filterable {
  public var type: String
  public var id: String
  public var requires: [String]
  public var exports: [String: String]
  public var capabilities: [String]
  /// Snapshotters, differs and runtimes work for one platform.
  public var hasPlatform: Bool

  public init(type: String, id: String, requires: [String] = [], exports: [String: String] = [:], capabilities: [String] = [], hasPlatform: Bool = false) {
    self.type = type
    self.id = id
    self.requires = requires
    self.exports = exports
    self.capabilities = capabilities
    self.hasPlatform = hasPlatform
  }

  public func filterValue(_ path: [String]) -> String? {
    switch path {
    case ["type"]: type
    case ["id"]: id
    case ["platforms"]: hasPlatform ? Platform.host.description : ""
    case ["capabilities"]: capabilities.joined(separator: ",")
    default: nil
    }
  }
}

/// Who this daemon is.
public struct Identity: Sendable {
  public var version: String
  public var revision: String
  /// Kept over restarts.
  public var uuid: String
  public var pid: UInt64
  /// Inode of the pid namespace.
  public var pidNamespace: UInt64

  public init(version: String, revision: String, uuid: String, pid: UInt64, pidNamespace: UInt64) {
    self.version = version
    self.revision = revision
    self.uuid = uuid
    self.pid = pid
    self.pidNamespace = pidNamespace
  }
}
