import ConformanceBoundarySuites
import ConformanceKit
import ConformanceModels
import ConformanceSuites
import ConformanceSystemSuites
import ConformanceWireSuites

/// Every case there is, in the order of the chapters. A new list of cases is entered here and nowhere else.
public enum Catalogue {
  public static let cases: [AnyCase] = unordered.sorted { (order($0.info.group), $0.id) < (order($1.info.group), $1.id) }

  private static let unordered: [AnyCase] =
    [AnyCase](
      SnapshotterSuite.cases, in: .snapshotMetadata,
      [
        "snapshots.race": .concurrency, "snapshots.usage": .usage, "snapshots.tree": .whiteouts, "snapshots.mounts": .mounts, "snapshots.view": .mounts,
        "snapshots.limits": .layerLimits, "snapshots.tree.long-chain": .layerLimits, "snapshots.tree.root-owner": .mounts,
      ])
    + [AnyCase](RemoteSnapshotSuite.cases + RemoteSnapshotSuite.sourceCases, in: .remoteSnapshots)
    + [AnyCase](LazySuite.cases, in: .lazy)
    + [AnyCase](LazyRestartSuite.cases, in: .crash)
    + [AnyCase](WireSnapshotterSuite.cases, in: .grpc)
    + [AnyCase](WireContentSuite.cases, in: .grpc)
    + [AnyCase](SnapshotModelSuite.cases, in: .snapshotMetadata)
    + [AnyCase](SnapshotModelSuite.concurrent, in: .concurrency)
    + [AnyCase](ContentModelSuite.cases, in: .content)
    + [AnyCase](ContentModelSuite.concurrent, in: .concurrency)
    + [AnyCase](RuntimeModelSuite.cases, in: .lifecycle)
    + [AnyCase](TaskEventSuite.cases, in: .shim)
    + [AnyCase](GarbageModelSuite.cases, in: .leases)
    + [AnyCase](CollectionModelSuite.cases, in: .metadata)
    + [AnyCase](CollectionModelSuite.concurrent, in: .concurrency)
    + [AnyCase](LayerModelSuite.cases, in: .whiteouts)
    + [AnyCase](ContentStoreSuite.cases, in: .content)
    + [AnyCase](SnapshotCrashSuite.cases, in: .crash)
    + [AnyCase](ContentCrashSuite.cases, in: .crash)
    + [AnyCase](MetadataCrashSuite.cases, in: .crash)
    + [AnyCase](SnapshotRestartSuite.cases, in: .crash)
    + [AnyCase](ContentRestartSuite.cases, in: .crash)
    + [AnyCase](MetadataRestartSuite.cases, in: .crash)
    + [AnyCase](LayerSuite.cases, in: .tarApply, ["layers.diff": .whiteouts])
    + [AnyCase](WireDifferSuite.cases, in: .grpc)
    + [AnyCase](RegistrySuite.cases, in: .fetch)
    + [AnyCase](PullSuite.cases, in: .fetch)
    + [AnyCase](PullModelSuite.cases, in: .fetch)
    + [AnyCase](BoundarySuite.cases, in: .boundaries)
    + [AnyCase](OCIRuntimeSuite.boundaries, in: .boundaries)
    + [AnyCase](ContainerLifeSuite.cases, in: .boundaries)
    + [AnyCase](DaemonSuite.cases, in: .leases, ["daemon.namespace": .metadata, "daemon.image": .metadata, "daemon.events": .events])
    + [AnyCase](RuntimeSuite.cases, in: .shim)
    + [AnyCase](ShimSuite.cases, in: .shim)
    + [AnyCase](OCIRuntimeSuite.lifecycle, in: .lifecycle)
    + [AnyCase](OCIRuntimeSuite.hooks, in: .hooks)
    + [AnyCase](OCIRuntimeSuite.configuration, in: .runtimeConfiguration)
    + [AnyCase](EventSuite.cases, in: .events)
    + [AnyCase](MetadataSuite.cases, in: .metadata, ["metadata.lease": .leases, "metadata.gc": .leases, "metadata.garbage": .leases])
    + [AnyCase](LayerFileSuite.cases, in: .tarApply, ["layers.diff": .whiteouts, "layers.whiteouts": .whiteouts])
    + [AnyCase](MountSuite.cases, in: .fileSemantics, ["permissions": .permissions, "whiteouts": .whiteouts])

  private static let places = Dictionary(uniqueKeysWithValues: CaseGroup.allCases.enumerated().map { ($1, $0) })
  private static func order(_ group: CaseGroup) -> Int { places[group] ?? places.count }
}
