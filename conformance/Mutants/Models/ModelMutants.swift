import ConformanceKit

/// Faults that only sequences of calls, or races, show.
enum ModelMutants {
  static let all: [Mutant] =
    SnapshotSequenceMutants.all + SnapshotRaceMutants.all + ContentSequenceMutants.all + ContentRaceMutants.all
    + GarbageSequenceMutants.all + CollectionSequenceMutants.all + CollectionRaceMutants.all + PullSequenceMutants.all + LayerSequenceMutants.all
    + TaskSequenceMutants.all + TaskSequenceMutants.events
}
