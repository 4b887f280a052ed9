import ConformanceKit

/// Faults that only sequences of calls, or races, show.
enum ModelMutants {
  static let all: [Mutant] =
    SnapshotSequenceMutants.all + SnapshotRaceMutants.all + ContentSequenceMutants.all + ContentRaceMutants.all
    + GarbageSequenceMutants.all + LayerSequenceMutants.all + TaskSequenceMutants.all + TaskSequenceMutants.events
}
