/// The chapters of the suite. A case belongs to exactly one.
public enum CaseGroup: String, CaseIterable, Codable, Sendable {
  case snapshotMetadata = "snapshot-metadata"
  case concurrency
  case usage
  case mounts = "mounts-and-views"
  case layerLimits = "layer-limits"
  case whiteouts = "whiteouts-and-diff"
  case crash = "crash-and-restart"
  case permissions = "permissions-and-xattrs"
  case fileSemantics = "file-semantics"
  case remoteSnapshots = "remote-snapshots"
  case lazy = "lazy-layers"
  case grpc = "grpc-level"
  case content = "content-store"
  case metadata
  case leases = "leases-and-gc"
  case tarApply = "tar-apply"
  case fetch = "fetch-and-pull"
  case boundaries = "layer-boundaries"
  case lifecycle = "runtime-lifecycle"
  case hooks
  case runtimeConfiguration = "runtime-configuration"
  case shim = "shim-and-tasks"
  case events

  public var title: String {
    switch self {
    case .snapshotMetadata: "Snapshot metadata"
    case .concurrency: "Concurrency"
    case .usage: "Usage"
    case .mounts: "Mounts and views"
    case .layerLimits: "Layer limits"
    case .whiteouts: "Whiteouts and diff"
    case .crash: "Crash and restart"
    case .permissions: "Permissions and extended attributes"
    case .fileSemantics: "File semantics inside a mount"
    case .remoteSnapshots: "Remote-snapshot protocol"
    case .lazy: "Lazy layers"
    case .grpc: "gRPC level"
    case .content: "Content store"
    case .metadata: "Images, containers and namespaces"
    case .leases: "Leases and garbage collection"
    case .tarApply: "Applying tar layers"
    case .fetch: "Fetcher and pull"
    case .boundaries: "Layer boundaries"
    case .lifecycle: "Runtime lifecycle"
    case .hooks: "Hooks"
    case .runtimeConfiguration: "Runtime configuration"
    case .shim: "Shim and task events"
    case .events: "Event exchange"
    }
  }
}
