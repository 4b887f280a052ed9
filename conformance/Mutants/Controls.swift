import ConformanceKit
import ConformanceSuites
import Protocols

extension MutantCatalogue {
  /// Wrappers without a fault: a case that notices one of them asks for more than the contract.
  static let controls: [Mutant] = [
    Mutant("identity-snapshotter", "every call is handed on unchanged", in: .snapshotMetadata, kills: []) {
      $0.wrap(SnapshotSubject.self) { $0.snapshotter = SnapshotterWrapper($0.snapshotter) }
    }
  ]
}
