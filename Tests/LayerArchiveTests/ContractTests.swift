import ConformanceSuites
import Hashing
import LayerArchive
import LocalContentStore
import OverlaySnapshotter
import Protocols
import SystemKit
import TestSupport
import Testing

/// The real applier and differ, on the real content store and snapshotter.
@Suite(.enabled(if: Needs.root, "needs root: run the tests as root")) struct LayerArchiveContractTests {
  @Test(arguments: LayerSuite.cases) func layers(_ contract: ContractCase<LayerSubject>) async throws {
    let scratch = ScratchDirectory("layer-contract")
    for name in ["apply", "diff"] { try Files.makeDirectories("\(scratch.path)/\(name)") }
    try await contract.run(
      on: LayerSubject(
        applier: ArchiveApplier(mountPoint: scratch.path + "/apply"), differ: ArchiveDiffer(mountPoint: scratch.path + "/diff"),
        content: LocalContentStore(root: scratch.path + "/content"), snapshotter: OverlaySnapshotter(root: scratch.path + "/snapshots"),
        trees: MountingTrees(mountPoint: scratch.path + "/tree"), keep: scratch
      ) { Digest.of($0) })
  }
}
