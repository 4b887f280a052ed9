import Protocols
import Testing

@testable import ShimRuntime

@Suite struct ShimComplaintTests {
  @Test(arguments: [
    (ContainerdError(.unknown, "cannot delete a running process"), ContainerdError.Code.failedPrecondition),
    (ContainerdError(.unknown, "cannot exec in a stopped state"), .failedPrecondition),
    (ContainerdError(.unknown, "OCI runtime create failed: cannot find a stopped clock"), .unknown),
    (ContainerdError(.notFound, "cannot kill a stopped process"), .notFound),
  ])
  func onlySentencesAboutAStateGetAClass(_ error: ContainerdError, _ code: ContainerdError.Code) {
    let classified = ShimComplaint.classified(error, "task x")
    #expect(classified.code == code)
    #expect(classified.message == error.message)
  }
}
