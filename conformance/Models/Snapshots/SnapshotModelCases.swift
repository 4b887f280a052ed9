import ConformanceSuites
import Protocols

/// Random sequences against the model of snapshotters.
public enum SnapshotModelSuite {
  public static let cases: [ContractCase<FreshSubjects<SnapshotSubject>>] = [
    ContractCase(
      "snapshots.model.random", "whatever the order of calls, a snapshotter answers as its contract says",
      "Snapshotter, all laws; SNAP-01, SNAP-02, SNAP-03, SNAP-04, SNAP-05, SNAP-06, SNAP-08, SNAP-12, SNAP-13, SNAP-14, SNAP-17",
      why: "defects that need three calls in an unlucky order are found by users, not by their authors"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 120, seconds: 8)) { attempt, subject in
        var machine = SnapshotMachine(subject)
        let generator = SnapshotGenerator.one(of: attempt, files: subject.trees != nil)
        try await attempt.sequence(atMost: 50) {
          try await machine.step(generator.draw(attempt, machine.model), attempt)
          try await machine.everything(attempt)
        }
        if subject.trees != nil { try await machine.allFiles(attempt) }
      }
    }
  ]

  public static let concurrent: [ContractCase<FreshSubjects<SnapshotSubject>>] = [
    ContractCase(
      "snapshots.model.linearizable", "calls of several clients answer as if each had happened at one moment",
      "Snapshotter, concurrency; SNAP-09", why: "containerd unpacks images side by side: two clients on one key are an everyday event"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 300, seconds: 6, shrinks: 250, shrinkSeconds: 15, repeats: 3)) { attempt, subject in
        try await SnapshotConcurrency.check(attempt, subject)
      }
    }
  ]
}
