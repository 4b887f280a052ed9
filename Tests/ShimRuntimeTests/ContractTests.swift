import CLinux
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
    var path: String { self == .debians ? BusyboxContainer.shim : "\(Self.builtBeside)/\(rawValue)" }
    /// Absolute, however the tests were started: a shim is found by nothing else.
    private static let builtBeside: String = {
      guard let program = realpath("/proc/self/exe", nil) else { return "." }
      defer { free(program) }
      return Files.parent(of: String(cString: program))
    }()
    var isThere: Bool { Files.exists(path) }
  }

  private static let namespace = "shimrt-contract"

  @Test(.enabled(if: Shim.ours.isThere, "containerd-shim-ref-v2 is not built beside the tests: build the whole package")) func ourShimTakesPart() {
    #expect(Shim.allCases.filter(\.isThere) == Shim.allCases)
  }

  @Test(arguments: Shim.allCases.filter(\.isThere), RuntimeSuite.cases) func runtime(_ shim: Shim, _ contract: ContractCase<RuntimeSubject>) async throws {
    let scene = Scene()
    let runtime = scene.runtime()
    try await runtime.start()
    let subject = RuntimeSubject(runtime: runtime, keep: scene) { id, program in
      var request = try BusyboxContainer(scene: scene, id: "contract-\(id)").request(Self.script(program))
      request.namespace = Self.namespace
      request.id = id
      request.runtime = shim.path
      return request
    } exec: { container, id, program in
      try BusyboxContainer(scene: scene, id: "contract-\(container)").exec(id, Self.script(program))
    }
    let result: Result<Void, any Error>
    do { result = .success(try await contract.run(on: subject)) } catch { result = .failure(error) }
    // What a failed case leaves running must not meet the next one.
    for task in try await runtime.tasks(in: Self.namespace) { try await end(task) }
    await runtime.stop()
    try result.get()
  }

  private static func script(_ program: RuntimeSubject.Program) -> String {
    switch program {
    case .waits: "exec sleep 1000"
    case .exits(let code): "exit \(code)"
    }
  }

  private func end(_ task: any ContainerTask) async throws {
    do { try await task.kill(exec: nil, signal: 9, all: true) } catch let error as ContainerdError where error.code == .notFound {}
    do { _ = try await task.delete(exec: nil) } catch let error as ContainerdError where error.code == .failedPrecondition {
      _ = try await task.wait(exec: nil)
      _ = try await task.delete(exec: nil)
    }
  }
}
