import GRPCCore
import Protocols
import WireMapping

/// containerd's gRPC services over our protocols. The only place that knows both the wire and the contracts.
public enum GRPCFrontend {
  public static func services(_ backends: Backends) -> [any RegistrableRPCService] {
    let metadata = backends.metadata
    let collect = backends.scheduleCollection
    return [
      VersionService(identity: backends.identity),
      IntrospectionService(identity: backends.identity, plugins: backends.plugins),
      HealthService(),
      NamespacesService(store: metadata.namespaces),
      LeasesService(metadata: metadata, scheduleCollection: collect),
      ContentService(metadata: metadata, scheduleCollection: collect),
      ImagesService(metadata: metadata, scheduleCollection: collect),
      SnapshotsService(metadata: metadata, scheduleCollection: collect),
      DiffService(metadata: metadata, applier: backends.applier, differ: backends.differ),
      ContainersService(metadata: metadata, scheduleCollection: collect),
      TasksService(metadata: metadata, runtime: backends.runtime),
      EventsService(exchange: backends.events),
    ]
  }

  /// The services of a proxy plugin that is a snapshotter.
  public static func services(snapshotter: any Snapshotter) -> [any RegistrableRPCService] { [SnapshotsService(snapshotter: snapshotter), HealthService()] }
}
