import ConformanceKit

/// Every mutant there is. Each chapter keeps its own list in a folder beside this file: a line here, and nothing else.
public enum MutantCatalogue {
  public static let all: [Mutant] = lists.flatMap { $0 }

  private static let lists: [[Mutant]] = [
    controls,
    SnapshotMutants.all,
    RemoteSnapshotMutants.all,
    LazyMutants.all,
    LazyRestartMutants.all,
    WireMutants.all,
    WireDifferMutants.all,
    FileMutants.all,
    LayerMutants.all,
    ContentMutants.all,
    MetadataMutants.all,
    DaemonMutants.all,
    EventMutants.all,
    RegistryMutants.all,
    PullMutants.all,
    BoundaryMutants.all,
    RuntimeBoundaryMutants.all,
    ContainerLifeMutants.all,
    RuntimeMutants.all,
    HookMutants.all,
    TaskMutants.all,
    ShimMutants.all,
    ModelMutants.all,
    CrashMutants.all,
  ]
}
