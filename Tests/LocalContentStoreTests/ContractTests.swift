import ConformanceSuites
import Hashing
import LocalContentStore
import Protocols
import TestSupport
import Testing

@Suite struct LocalContentStoreContractTests {
  @Test(arguments: ContentStoreSuite.cases) func content(_ contract: ContractCase<ContentSubject>) async throws {
    let scratch = ScratchDirectory("content-contract")
    try await contract.run(on: ContentSubject(store: LocalContentStore(root: scratch.path), keep: scratch) { Digest.of($0, $1) })
  }
}
