import ConformanceSuites
import OverlaySnapshotter
import Protocols
import TestSupport
import Testing

@Suite(.enabled(if: Needs.root, "needs root: run the tests as root")) struct OverlaySnapshotterContractTests {
  @Test(arguments: SnapshotterSuite.cases) func snapshots(_ contract: ContractCase<SnapshotSubject>) async throws {
    let scratch = ScratchDirectory("overlay-contract")
    try await contract.run(
      on: SnapshotSubject(
        snapshotter: OverlaySnapshotter(root: scratch.path + "/s"), trees: MountingTrees(mountPoint: scratch.path + "/mnt"), keep: scratch))
  }
}
