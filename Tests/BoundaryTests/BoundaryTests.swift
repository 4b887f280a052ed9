import ConformanceKit
import ConformanceSuites
import ConformanceTargets
import TestSupport
import Testing

/// The laws between the layers, on our own puller and unpacker: the cases of the conformance suite's chapter, as far as they need no mount namespace of their own.
/// The others are run by `containerd-conformance run inproc:pipeline`, each in a process of its own.
@Suite struct BoundaryTests {
  static let address = "inproc:pipeline"
  /// What other tests of this process mount meanwhile would be seen by the first.
  static let alone: Set = ["boundaries.mounts.run-hands-on"]

  static func cases() throws -> [AnyCase] {
    let target = try Target(at: address)
    return Catalogue.cases.filter { $0.info.group == .boundaries && $0.concerns(target) && !$0.needs.contains(.files) && !alone.contains($0.id) }
  }

  @Test func thereAreCases() throws { #expect(try Self.cases().count > 30) }

  @Test(arguments: try BoundaryTests.cases()) func boundaries(_ contract: AnyCase) async throws {
    let scratch = ScratchDirectory("boundary")
    let workspace = Workspace(directory: scratch.path, seed: 1)
    let target = try Target(at: Self.address)
    var failure: (any Error)?
    do { try await contract.run(on: target, in: workspace) } catch { failure = error }
    let problems = await workspace.endings.run()
    if let failure { throw failure }
    #expect(problems == [])
  }
}
