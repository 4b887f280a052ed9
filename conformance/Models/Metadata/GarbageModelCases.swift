import ConformanceSuites
import Protocols

/// Random graphs of images, containers, leases, blobs and snapshots, against reachability.
public enum GarbageModelSuite {
  public static let cases: [ContractCase<FreshSubjects<MetadataSubject>>] = [
    ContractCase(
      "metadata.model.gc", "a collection removes exactly what no root reaches, whatever refers to what, and nothing else removes anything",
      "MetadataStore law 2; GC-01, GC-02, GC-03; REF-M02", needs: [.alone],
      why: "a collector that is wrong in one shape of references deletes layers of images in use, weeks after the mistake"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 250, seconds: 8)) { attempt, subject in
        var machine = GarbageMachine(subject)
        try await attempt.sequence(atMost: 40) { try await machine.step(attempt) }
      }
    }
  ]
}
