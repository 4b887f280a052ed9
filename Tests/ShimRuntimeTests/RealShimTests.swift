import CLinux
import ContainerdAPI
import Protocols
import SwiftProtobuf
import SystemKit
import TestSupport
import Testing

@testable import ShimRuntime

/// Against Debian's containerd-shim-runc-v2 and runc.
@Suite(.serialized, .enabled(if: BusyboxContainer.canRun, Comment(rawValue: BusyboxContainer.reason)))
struct RealShimTests {
  private let scene = Scene()

  private func started() async throws -> ShimRuntime {
    let runtime = scene.runtime()
    try await runtime.start()
    return runtime
  }

  private func fifo(_ name: String) throws -> Output { try Output("\(scene.directory.path)/\(name)") }

  @Test func aContainerRunsWritesAndEndsWithItsCode() async throws {
    let runtime = try await started()
    let container = try BusyboxContainer(scene: scene, id: "run1")
    let out = try fifo("out")
    let task = try await runtime.create(container.request("echo hello; exit 7", io: out.io))
    let created = try await task.state(exec: nil)
    #expect(created.status == .created)
    #expect(created.io.stdout == out.io.stdout)
    #expect(created.bundle == scene.state + "/io.containerd.runtime.v2.task/shimrt/run1")
    #expect(await code { try await runtime.create(container.request("true")) } == .alreadyExists)
    #expect(try await runtime.tasks(in: "shimrt").map(\.id) == ["run1"])
    #expect(try await runtime.tasks(in: "other").isEmpty)

    async let first = task.wait(exec: nil)
    let pid = try await task.start(exec: nil)
    #expect(pid == created.pid)
    let exit = try await first
    #expect(exit.code == 7 && exit.pid == pid)
    #expect(try await task.wait(exec: nil) == exit, "every waiter gets the same answer")
    var output = ""
    #expect(
      try await eventually {
        output += out.read(); return output == "hello\n"
      }, "\(output)")

    let stopped = try await task.state(exec: nil)
    #expect(stopped.status == .stopped && stopped.exit == exit)
    #expect(try await task.delete(exec: nil) == exit)
    #expect(await code { try await runtime.task("run1", namespace: "shimrt") } == .notFound)
    #expect(await code { try await task.state(exec: nil) } == .notFound)
    #expect(await code { try await task.wait(exec: nil) } == .notFound)
    #expect(try container.leftovers() == [])
    let expected = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
    #expect(try await eventually { scene.events.topics == expected }, "\(scene.events.topics)")
    #expect(scene.events.all.allSatisfy { $0.namespace == "shimrt" })
    guard case .other(_, let value)? = scene.events.all[2].event as Event? else { return }
    #expect(value.typeURL == "containerd.events.TaskExit")
    #expect(try Containerd_Events_TaskExit(serializedBytes: value.value).exitStatus == 7)
    await runtime.stop()
  }

  @Test func processesAreAddedKilledAndDeleted() async throws {
    let runtime = try await started()
    let container = try BusyboxContainer(scene: scene, id: "exec1")
    let task = try await runtime.create(container.request("sleep 1000"))
    _ = try await task.start(exec: nil)
    #expect(await code { try await task.delete(exec: nil) } == .failedPrecondition)
    #expect(await code { try await task.start(exec: nil) } == .failedPrecondition)

    let out = try fifo("out")
    try await task.exec(container.exec("e1", "echo from exec; exit 4", io: out.io))
    #expect(await code { try await task.exec(container.exec("e1", "true")) } == .alreadyExists)
    #expect(await code { try await task.exec(container.exec("../e", "true")) } == .invalidArgument)
    let pid = try await task.start(exec: "e1")
    let exit = try await task.wait(exec: "e1")
    #expect(exit.code == 4 && exit.pid == pid)
    var output = ""
    #expect(
      try await eventually {
        output += out.read(); return output == "from exec\n"
      }, "\(output)")
    #expect(try await task.delete(exec: "e1").code == 4)
    #expect(await code { try await task.state(exec: "e1") } == .notFound)

    try await task.exec(container.exec("e2", "sleep 1000"))
    _ = try await task.start(exec: "e2")
    #expect(try await task.pids().count >= 2)
    try await task.kill(exec: "e2", signal: 9, all: false)
    #expect(try await task.wait(exec: "e2").code == 137)
    _ = try await task.delete(exec: "e2")

    try await task.pause()
    #expect(try await task.state(exec: nil).status == .paused)
    try await task.resume()
    #expect(try await task.stats().typeURL.hasSuffix(".Metrics"))

    try await task.kill(exec: nil, signal: 9, all: false)
    #expect(try await task.wait(exec: nil).code == 137)
    #expect(await code { try await task.kill(exec: nil, signal: 9, all: false) } == .notFound)
    #expect(try await task.delete(exec: nil).code == 137)
    #expect(try container.leftovers() == [])
    let expected = [
      "/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started", "/tasks/exit", "/tasks/exec-added", "/tasks/exec-started",
      "/tasks/exit", "/tasks/paused", "/tasks/resumed", "/tasks/exit", "/tasks/delete",
    ]
    #expect(try await eventually { scene.events.topics == expected }, "\(scene.events.topics)")
    await runtime.stop()
  }

  @Test func aProgramThatIsNotThereFailsTheStartWithTheReason() async throws {
    let runtime = try await started()
    let container = try BusyboxContainer(scene: scene, id: "bad1")
    var request = container.request("true")
    request.spec.value = Array(String(decoding: request.spec.value, as: UTF8.self).replacing("/bin/sh", with: "/bin/none").utf8)
    do {
      let task = try await runtime.create(request)
      _ = try await task.start(exec: nil)
      Issue.record("started")
    } catch {
      #expect("\(error)".contains("/bin/none"), "\(error)")
    }
    if let task = try? await runtime.task("bad1", namespace: "shimrt") { _ = try await task.delete(exec: nil) }
    #expect(try container.leftovers() == [])
    await runtime.stop()
  }

  @Test func aSpecThatRuncRefusesLeavesNothing() async throws {
    let runtime = try await started()
    let container = try BusyboxContainer(scene: scene, id: "bad2")
    var request = container.request("true")
    request.rootfs[0].source = scene.directory.path + "/nowhere"
    do {
      _ = try await runtime.create(request)
      Issue.record("created")
    } catch {
      #expect("\(error)".contains("nowhere"), "\(error)")
    }
    #expect(try container.leftovers() == [])
    #expect(try await runtime.tasks(in: "shimrt").isEmpty)
    // The name is free again.
    let task = try await runtime.create(container.request("true"))
    _ = try await task.start(exec: nil)
    _ = try await task.wait(exec: nil)
    _ = try await task.delete(exec: nil)
    #expect(try container.leftovers() == [])
    await runtime.stop()
  }

  /// A daemon that starts one container that goes on and one that ends, and is dropped without letting go of either.
  private func daemonThatIsDropped(
    _ running: BusyboxContainer, _ stopped: BusyboxContainer, _ out: Output
  ) async throws -> (pid: UInt32, exit: Protocols.ExitStatus) {
    let runtime = try await started()
    let task = try await runtime.create(running.request("while :; do echo tick; sleep 0.1; done", io: out.io))
    let pid = try await task.start(exec: nil)
    let short = try await runtime.create(stopped.request("exit 5"))
    _ = try await short.start(exec: nil)
    return (pid, try await short.wait(exec: nil))
  }

  @Test func theNextDaemonFindsRunningAndStoppedTasks() async throws {
    let running = try BusyboxContainer(scene: scene, id: "re1")
    let stopped = try BusyboxContainer(scene: scene, id: "re2")
    let out = try fifo("out")
    let (pid, exit) = try await daemonThatIsDropped(running, stopped, out)
    _ = out.read()

    #expect(try await eventually { out.read().contains("tick") }, "the container goes on without a daemon")
    let second = try await started()
    await second.reattach()
    #expect(try await second.tasks(in: "shimrt").map(\.id) == ["re1", "re2"])
    let again = try await second.task("re1", namespace: "shimrt")
    #expect(try await again.state(exec: nil).status == .running)
    #expect(try await again.state(exec: nil).pid == pid)
    let over = try await second.task("re2", namespace: "shimrt")
    #expect(try await over.wait(exec: nil) == exit)
    #expect(try await over.delete(exec: nil) == exit)
    async let waited = again.wait(exec: nil)
    try await again.kill(exec: nil, signal: 9, all: false)
    #expect(try await waited == ExitStatus(pid: pid, code: 137, exitedAt: waited.exitedAt))
    _ = try await again.delete(exec: nil)
    #expect(try running.leftovers() + stopped.leftovers() == [])
    #expect(try await eventually { scene.events.topics.filter { $0 == "/tasks/delete" }.count == 2 }, "\(scene.events.topics)")
    #expect(
      scene.events.all.allSatisfy { if case .other = $0.event { true } else { false } },
      "the dropped daemon takes no shim for dead: \(scene.events.topics)")
    await second.stop()
  }

  /// A process that has ended and waits to be reaped by somebody else does not run.
  private func isRunning(_ pid: UInt32) -> Bool {
    guard let status = try? Files.read("/proc/\(pid)/status") else { return false }
    return !String(decoding: status, as: UTF8.self).contains("State:\tZ")
  }

  private func killShim(_ runtime: ShimRuntime, _ id: String) async throws {
    let task = try #require(runtime.registry.task(TaskKey(namespace: "shimrt", id: id)))
    let pid = try await task.service.connect()
    try check("kill", "\(pid)") { kill(pid_t(pid), SIGKILL) }
  }

  @Test func aShimThatDiesIsCleanedUpAfter() async throws {
    let runtime = try await started()
    let container = try BusyboxContainer(scene: scene, id: "dead1")
    let task = try await runtime.create(container.request("sleep 1000"))
    let pid = try await task.start(exec: nil)
    try await task.exec(container.exec("e", "sleep 1000"))
    _ = try await task.start(exec: "e")
    async let inner = task.wait(exec: "e")
    async let waited = task.wait(exec: nil)
    #expect(try await eventually { scene.events.topics.last == "/tasks/exec-started" })
    let socket = try #require(try scene.bundle("dead1", namespace: "shimrt").endpoint()).socketPath
    #expect(Files.exists(socket))
    try await killShim(runtime, "dead1")
    let exit = try await waited
    #expect(!Files.exists(socket))
    #expect(exit.code == 137 && exit.pid == pid)
    #expect(try await inner.code == 137)
    #expect(await code { try await task.state(exec: nil) } == .notFound)
    #expect(try await eventually { try await runtime.tasks(in: "shimrt").isEmpty })
    #expect(try container.leftovers() == [])
    #expect(!isRunning(pid), "the container's process has been killed")
    let own = scene.events.all.suffix(2).map(\.event)
    #expect(own == [.taskExit(container: "dead1", id: "dead1", exit: exit), .taskDelete(container: "dead1", id: "dead1", exit: exit)])
    await runtime.stop()
  }

  @Test func aShimThatDiesAfterTheExitKeepsTheCode() async throws {
    let runtime = try await started()
    let container = try BusyboxContainer(scene: scene, id: "dead2")
    let task = try await runtime.create(container.request("exit 3"))
    _ = try await task.start(exec: nil)
    let exit = try await task.wait(exec: nil)
    #expect(try await eventually { scene.events.topics.contains("/tasks/exit") })
    try await killShim(runtime, "dead2")
    #expect(try await eventually { scene.events.topics.last == "/tasks/delete" })
    #expect(scene.events.topics.filter { $0 == "/tasks/exit" }.count == 1, "the exit is told once")
    #expect(scene.events.all.last?.event == .taskDelete(container: "dead2", id: "dead2", exit: exit))
    #expect(exit.code == 3)
    #expect(try await eventually { try container.leftovers() == [] })
    await runtime.stop()
  }

  @Test func aShimThatDiedWithoutADaemonIsCleanedUpByTheNext() async throws {
    let first = try await started()
    let container = try BusyboxContainer(scene: scene, id: "dead3")
    let task = try await first.create(container.request("sleep 1000"))
    let pid = try await task.start(exec: nil)
    let shim = try await first.registry.task(TaskKey(namespace: "shimrt", id: "dead3"))!.service.connect()
    await first.stop()
    try check("kill", "\(shim)") { kill(pid_t(shim), SIGKILL) }
    let second = try await started()
    await second.reattach()
    #expect(try await second.tasks(in: "shimrt").isEmpty)
    #expect(try container.leftovers() == [])
    #expect(!isRunning(pid))
    guard case .taskExit("dead3", "dead3", let exit)? = scene.events.all.dropLast().last?.event else {
      Issue.record("\(scene.events.topics)")
      return
    }
    #expect(exit.code == 137 && exit.pid == pid)
    await second.stop()
  }
}
