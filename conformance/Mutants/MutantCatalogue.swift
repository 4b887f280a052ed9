import ConformanceKit

/// Every mutant there is. Each chapter keeps its own list in a folder beside this file.
public enum MutantCatalogue {
  public static let all: [Mutant] =
    controls + SnapshotMutants.all + RemoteSnapshotMutants.all + WireMutants.all + FileMutants.all + LayerMutants.all + ModelMutants.all
    + ContentMutants.all + MetadataMutants.all + EventMutants.all + RegistryMutants.all
    + TaskMutants.all
}
