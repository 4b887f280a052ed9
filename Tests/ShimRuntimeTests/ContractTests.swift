import ConformanceSuites
import Protocols
import ShimRuntime
import SystemKit
import Testing

@Suite struct EventBusContractTests {
  @Test(arguments: EventSuite.cases) func events(_ contract: ContractCase<EventSubject>) async throws {
    try await contract.run(on: EventSubject(exchange: EventBus()))
  }
}

/// The runtime's contract with real containers: under our own shim, and under Debian's.
@Suite(.serialized, .enabled(if: BusyboxContainer.canRun, Comment(rawValue: BusyboxContainer.reason))) struct RuntimeContractTests {
  enum Shim: String, CaseIterable, Sendable, CustomStringConvertible {
    case ours = "containerd-shim-ref-v2"
    case debians = "containerd-shim-runc-v2"
    var description: String { rawValue }

    /// Ours is built beside the tests.
    var path: String { self == .debians ? BusyboxContainer.shim : "\(Files.parent(of: CommandLine.arguments[0]))/\(rawValue)" }
    var isThere: Bool { Files.exists(path) }
  }

  @Test(.enabled(if: Shim.ours.isThere, "containerd-shim-ref-v2 is not built beside the tests: build the whole package")) func ourShimTakesPart() {
    #expect(Shim.allCases.filter(\.isThere) == Shim.allCases)
  }

  @Test(arguments: Shim.allCases.filter(\.isThere), RuntimeSuite.cases) func runtime(_ shim: Shim, _ contract: ContractCase<RuntimeSubject>) async throws {
    let scene = Scene()
    let runtime = scene.runtime()
    try await runtime.start()
    @Sendable func script(_ program: RuntimeSubject.Program) -> String {
      switch program {
      case .waits: "exec sleep 1000"
      case .exits(let code): "exit \(code)"
      }
    }
    try await contract.run(
      on: RuntimeSubject(runtime: runtime, keep: scene) { id, program in
        var request = try BusyboxContainer(scene: scene, id: "contract-\(id)").request(script(program))
        request.id = id
        request.runtime = shim.path
        return request
      } exec: { container, id, program in
        try BusyboxContainer(scene: scene, id: "contract-\(container)").exec(id, script(program))
      })
    await runtime.stop()
  }
}
