import ConformanceKit
import ConformanceSuites
import Protocols

/// Faults of snapshotters.
enum SnapshotMutants {
  static let all: [Mutant] = [
    mutant("M001", "prepare on a taken key gives the mounts of the first", kills: ["snapshots.prepare.existing-key"], symptom: "it succeeded") {
      $0.onPrepare = { base, key, parent, labels in
        do { return try await base.prepare(key, parent: parent, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
          return try await base.mounts(key)
        }
      }
    }
  ]

  static func mutant(
    _ id: String, _ sentence: String, in group: CaseGroup = .snapshotMetadata, on base: String = "inproc:fake", kills: [String], symptom: String = "",
    threads: [String] = [], _ change: @escaping @Sendable (inout SnapshotterWrapper) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: group, on: base, kills: kills, symptom: symptom, threads: threads) {
      $0.wrap(SnapshotSubject.self) { $0.snapshotter = SnapshotterWrapper($0.snapshotter, change) }
    }
  }
}
