import CLinux
import Protocols
import SystemKit
import TestSupport
import Testing

@testable import ShimRuntime

/// What the next daemon makes of a bundle whose daemon was killed at each step of a creation or removal, with a program in the
/// place of the shim that only notes what it is asked.
@Suite struct InterruptedTests {
  private let scene = Scene()
  /// DeleteResponse{pid: 5, exit_status: 137}; the time is left out.
  private static let deleteAnswer = #"printf '\010\005\020\211\001'"#

  private func shim(_ more: String = "") throws -> String {
    try scene.script("echo $ACTION >> \(scene.directory.path)/asked\n\(more)\nif [ $ACTION = delete ]; then \(Self.deleteAnswer); fi")
  }

  private func asked() throws -> String {
    Files.exists(scene.directory.path + "/asked") ? String(decoding: try Files.read(scene.directory.path + "/asked"), as: UTF8.self) : ""
  }

  private func expectNothingLeft(_ bundle: Bundle, _ runtime: ShimRuntime) async throws {
    #expect(!Files.exists(bundle.path))
    #expect(!Files.exists(bundle.workPath))
    #expect(try Files.names(in: Files.parent(of: bundle.path)) == [])
    #expect(try await runtime.tasks(in: "n").isEmpty)
  }

  @Test func killedBeforeTheBundleWasWhole() async throws {
    let bundle = try scene.bundle("c1")
    try Files.makeDirectories(bundle.path)
    let runtime = scene.runtime()
    await runtime.reattach()
    try await expectNothingLeft(bundle, runtime)
    #expect(scene.events.all.isEmpty)
  }

  @Test func killedBeforeTheShimWasStarted() async throws {
    let bundle = try scene.bundle("c1")
    try bundle.make(spec: [])
    let runtime = scene.runtime()
    await runtime.reattach()
    try await expectNothingLeft(bundle, runtime)
    #expect(scene.events.all.isEmpty)
  }

  @Test func killedBeforeTheAddressWasKnown() async throws {
    let bundle = try scene.bundle("c1")
    try bundle.make(spec: [])
    try bundle.write(shim: try shim())
    let runtime = scene.runtime()
    await runtime.reattach()
    try await expectNothingLeft(bundle, runtime)
    #expect(try asked() == "delete\n")
    #expect(scene.events.all.isEmpty, "nobody was told of a container")
  }

  @Test func aDeadShimsContainerIsReportedAsTheProgramSays() async throws {
    let bundle = try scene.bundle("c1")
    try bundle.make(spec: [])
    try bundle.write(shim: try shim())
    try bundle.write(ShimEndpoint(address: "unix://\(scene.directory.path)/gone"))
    let runtime = scene.runtime()
    await runtime.reattach()
    try await expectNothingLeft(bundle, runtime)
    #expect(scene.events.topics == ["/tasks/exit", "/tasks/delete"])
    guard case .taskExit("c1", "c1", let exit)? = scene.events.all.first?.event else {
      Issue.record("\(scene.events.all)")
      return
    }
    #expect(exit.pid == 5 && exit.code == 137)
  }

  @Test func aDeadShimWhoseProgramFailsIsReportedWith255() async throws {
    let bundle = try scene.bundle("c1")
    try bundle.make(spec: [])
    try bundle.write(shim: try shim("exit 1"))
    try bundle.write(ShimEndpoint(address: "unix://\(scene.directory.path)/gone"))
    let runtime = scene.runtime()
    await runtime.reattach()
    try await expectNothingLeft(bundle, runtime)
    guard case .taskExit(_, _, let exit)? = scene.events.all.first?.event else {
      Issue.record("\(scene.events.all)")
      return
    }
    #expect(exit.code == 255)
  }

  @Test func anExitThatTheShimHadToldIsKept() async throws {
    let bundle = try scene.bundle("c1")
    try bundle.make(spec: [])
    try bundle.write(shim: try shim())
    try bundle.write(ShimEndpoint(address: "unix://\(scene.directory.path)/gone"))
    let exit = ExitStatus(pid: 9, code: 3, exitedAt: Timestamp(seconds: 1))
    try bundle.write(exit: exit)
    let runtime = scene.runtime()
    await runtime.reattach()
    #expect(scene.events.all.map(\.event) == [.taskExit(container: "c1", id: "c1", exit: exit), .taskDelete(container: "c1", id: "c1", exit: exit)])
  }

  @Test func aShimThatDoesNotAnswerIsGivenUpInTime() async throws {
    let bundle = try scene.bundle("c1")
    try bundle.make(spec: [])
    try bundle.write(shim: try shim())
    let gate = OneShot<Void>()
    let server = try await TTRPCServer.listen(
      path: scene.directory.path + "/s", group: scene.runtime().context.group,
      methods: [
        "containerd.task.v2.Task/State": .concurrent { _ in
          try await gate.value; return []
        }
      ])
    try bundle.write(ShimEndpoint(address: "unix://\(scene.directory.path)/s"))
    let runtime = scene.runtime(reattachTimeout: .seconds(2))
    // Comes back at all: the shim answers only after the test has opened the gate, below.
    await runtime.reattach()
    try await expectNothingLeft(bundle, runtime)
    #expect(scene.events.topics == ["/tasks/exit", "/tasks/delete"])
    gate.resolve(.success(()))
    await server.close()
  }

  @Test func aShimThatWasNeverAskedForAContainerIsEnded() async throws {
    let bundle = try scene.bundle("c1")
    try bundle.make(spec: [])
    try bundle.write(shim: try shim())
    let shutDown = OneShot<Void>()
    let server = try await TTRPCServer.listen(
      path: scene.directory.path + "/s", group: scene.runtime().context.group,
      methods: [
        "containerd.task.v2.Task/State": .inOrder { _ in throw ContainerdError.notFound("container not created") },
        "containerd.task.v2.Task/Delete": .inOrder { _ in throw ContainerdError.notFound("container not created") },
        "containerd.task.v2.Task/Shutdown": .inOrder { _ in
          shutDown.resolve(.success(()))
          return []
        },
      ])
    try bundle.write(ShimEndpoint(address: "unix://\(scene.directory.path)/s"))
    let runtime = scene.runtime()
    await runtime.reattach()
    #expect(shutDown.isResolved)
    try await expectNothingLeft(bundle, runtime)
    #expect(scene.events.all.isEmpty)
    await server.close()
  }

  @Test func killedInTheMiddleOfARemoval() async throws {
    let bundle = try scene.bundle("c1")
    try bundle.make(spec: [])
    let trash = Files.parent(of: bundle.path) + "/.c1"
    try check("rename", trash) { rename(bundle.path, trash) }
    let runtime = scene.runtime()
    await runtime.reattach()
    #expect(!Files.exists(trash))
    #expect(!Files.exists(bundle.workPath), "a work directory without a bundle goes too")
  }

  @Test func whatIsNotABundleIsLeftAlone() async throws {
    let other = scene.state + "/io.containerd.runtime.v2.task/n/.keep me"
    try Files.makeDirectories(other)
    await scene.runtime().reattach()
    #expect(Files.exists(other))
  }

  @Test func aFailedStartLeavesNothingAndSaysWhatTheShimSaid() async throws {
    let runtime = scene.runtime()
    let request = TaskCreation(
      namespace: "n", id: "c1", spec: TypedValue(typeURL: "spec", value: Array("{}".utf8)), rootfs: [],
      runtime: try shim("if [ $ACTION = start ]; then echo no such luck >&2; exit 1; fi"))
    do {
      _ = try await runtime.create(request)
      Issue.record("created")
    } catch {
      #expect("\(error)".contains("no such luck"), "\(error)")
    }
    #expect(try asked() == "start\ndelete\n")
    try await expectNothingLeft(try scene.bundle("c1"), runtime)
  }

  @Test func aFailedCreateEndsTheShimAndLeavesNothing() async throws {
    let shutDown = OneShot<Void>()
    let server = try await TTRPCServer.listen(
      path: scene.directory.path + "/s", group: scene.runtime().context.group,
      methods: [
        "containerd.task.v2.Task/Create": .inOrder { _ in throw ContainerdError.invalidArgument("no process in spec") },
        "containerd.task.v2.Task/Shutdown": .inOrder { _ in
          shutDown.resolve(.success(()))
          return []
        },
      ])
    let runtime = scene.runtime()
    let request = TaskCreation(
      namespace: "n", id: "c1", spec: TypedValue(typeURL: "spec", value: Array("{}".utf8)), rootfs: [],
      runtime: try shim("if [ $ACTION = start ]; then echo unix://\(scene.directory.path)/s; fi"))
    do {
      _ = try await runtime.create(request)
      Issue.record("created")
    } catch {
      #expect(error as? ContainerdError == .invalidArgument("no process in spec"))
    }
    #expect(shutDown.isResolved)
    #expect(try asked() == "start\ndelete\n")
    try await expectNothingLeft(try scene.bundle("c1"), runtime)
    await server.close()
  }

  @Test func aLeftoverBundleDoesNotBlockItsName() async throws {
    let bundle = try scene.bundle("c1")
    try bundle.make(spec: [])
    let runtime = scene.runtime()
    let request = TaskCreation(
      namespace: "n", id: "c1", spec: TypedValue(typeURL: "spec", value: Array("{}".utf8)), rootfs: [],
      runtime: try shim("if [ $ACTION = start ]; then exit 1; fi"))
    #expect(await code { try await runtime.create(request) } == .unknown, "the start is reached")
    try await expectNothingLeft(bundle, runtime)
  }

  @Test func anUnknownRuntimeLeavesNothing() async throws {
    let runtime = scene.runtime()
    let request = TaskCreation(
      namespace: "n", id: "c1", spec: TypedValue(typeURL: "spec", value: Array("{}".utf8)), rootfs: [], runtime: "io.nobody.has-this.v9")
    #expect(await code { try await runtime.create(request) } == .invalidArgument)
    #expect(!Files.exists(try scene.bundle("c1").path))
    #expect(await code { try await runtime.task("c1", namespace: "n") } == .notFound)
  }
}
