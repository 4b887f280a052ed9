import CLinux
import ContainerdClient
import Protocols
import ShimWire
import SystemKit
import TestSupport
import Testing

/// What clients like ctr cannot show, because they create and start in one step.
@Suite(.serialized, .enabled(if: RunningDaemon.possible, Comment(rawValue: RunningDaemon.reason)))
struct CreatedTaskTests {
  private static let plugin = "/usr/lib/cni/bridge"

  /// Runs Debian's bridge plugin on a network namespace and gives what it printed.
  private func cni(_ verb: String, namespace: String, daemon: RunningDaemon) throws -> (status: Int32, output: String) {
    let configuration = """
      {"cniVersion":"0.4.0","name":"ref-created","type":"bridge","bridge":"ref-created0","isGateway":true,
       "ipam":{"type":"host-local","subnet":"10.201.9.0/24","dataDir":"\(daemon.scratch.path)/ipam"}}
      """
    let file = daemon.scratch.path + "/cni.json"
    try Files.writeAtomically(Array(configuration.utf8), to: file)
    return try TestSupport.run([
      "env", "CNI_COMMAND=\(verb)", "CNI_CONTAINERID=created", "CNI_NETNS=\(namespace)", "CNI_IFNAME=eth0", "CNI_PATH=/usr/lib/cni", "sh", "-c",
      "\(Self.plugin) <\(file)",
    ])
  }

  @Test func aCreatedTaskOutlivesTheDaemonGetsItsNetworkAndStarts() async throws {
    let daemon = try await RunningDaemon()
    try await daemon.create("created", "echo started; ip -4 -o addr show dev eth0; exit 42")
    let before = try await daemon.state("created")
    #expect(before.status == .created)
    #expect(before.pid > 0)

    daemon.end(SIGKILL)
    #expect(kill(pid_t(before.pid), 0) == 0)
    try await daemon.start()
    let after = try await daemon.state("created")
    #expect(after.status == .created)
    #expect(after.pid == before.pid)
    // Nothing of the user's has run.
    #expect(try Files.read(daemon.output).isEmpty)

    let namespace = "/proc/\(after.pid)/ns/net"
    if Files.exists(Self.plugin) {
      let added = try cni("ADD", namespace: namespace, daemon: daemon)
      #expect(added.status == 0, "\(added.output)")
    } else {
      print("no \(Self.plugin): the interface is a veth made by hand")
      let script = "ip link add eth0 type veth peer name other && ip addr add 10.201.9.2/24 dev eth0"
      let made = try TestSupport.run(["nsenter", "--net=\(namespace)", "sh", "-c", script])
      #expect(made.status == 0, "\(made.output)")
    }

    let status = try await daemon.connect { client in
      let task = client.tasks.task("created")
      async let end = task.wait(exec: nil)
      let pid = try await task.start(exec: nil)
      #expect(pid == before.pid)
      return try await end
    }
    #expect(status.code == 42)
    let printed = String(decoding: try Files.read(daemon.output), as: UTF8.self)
    #expect(printed.hasPrefix("started\n"))
    #expect(printed.contains("inet 10.201.9."), "\(printed)")
    await daemon.remove("created")
    _ = try? TestSupport.run(["ip", "link", "del", "ref-created0"])
  }

  @Test func aTaskThatEndedWhileTheDaemonWasDeadIsDeliveredWithItsStatus() async throws {
    let daemon = try await RunningDaemon()
    try await daemon.create("ended", "sleep 1; exit 17")
    try await daemon.connect { _ = try await $0.tasks.task("ended").start(exec: nil) }
    daemon.end(SIGKILL)
    try await Task.sleep(for: .milliseconds(1500))
    try await daemon.start()
    let exit = try await daemon.connect { try await $0.tasks.task("ended").wait(exec: nil) }
    #expect(exit.code == 17)
    await daemon.remove("ended")
  }

  @Test func aKilledShimsTaskEndsWith137AndLeavesNothing() async throws {
    let daemon = try await RunningDaemon()
    try await daemon.create("orphan", "sleep 1000")
    try await daemon.connect { _ = try await $0.tasks.task("orphan").start(exec: nil) }
    let pid = try await daemon.state("orphan").pid
    let shim = try parent(of: pid)
    let exit = try await daemon.connect { client in
      async let end = client.tasks.task("orphan").wait(exec: nil)
      // Until it waits: who asks for a task that is gone is told so.
      try await Task.sleep(for: .seconds(1.5))
      #expect(kill(shim, SIGKILL) == 0)
      return try await end
    }
    #expect(exit.code == 137)
    for _ in 0..<100 where kill(pid_t(pid), 0) == 0 { try await Task.sleep(for: .milliseconds(50)) }
    #expect(kill(pid_t(pid), 0) != 0)
    #expect(!Files.exists("/sys/fs/cgroup/pids/ref-e2e/orphan-\(getpid())"))
    await daemon.remove("orphan")
  }

  @Test func optionsOfTheRuntimeAreHonoured() async throws {
    let daemon = try await RunningDaemon()
    let name = "ref-e2e-shim-\(getpid())"
    // A new cpuset takes no process before it is filled in.
    let hierarchies = try Files.names(in: "/sys/fs/cgroup").filter { !$0.contains("cpuset") }.map { "/sys/fs/cgroup/\($0)" }
      .filter { Files.exists($0 + "/cgroup.procs") }
    for directory in hierarchies { mkdir("\(directory)/\(name)", 0o755) }
    if hierarchies.isEmpty { mkdir("/sys/fs/cgroup/\(name)", 0o755) }
    defer { for directory in hierarchies + ["/sys/fs/cgroup"] { rmdir("\(directory)/\(name)") } }

    var options = RuntimeOptions()
    options.root = daemon.scratch.path + "/runtime"
    options.shimCgroup = "/" + name
    try await daemon.create("options", "sleep 1000", options: TypedValue(typeURL: RuntimeOptions.typeURL, value: options.encoded))
    #expect(Files.exists(options.root + "/e2e/options/state.json"))
    let shim = try await parent(of: daemon.state("options").pid)
    let membership = String(decoding: try Files.read("/proc/\(shim)/cgroup"), as: UTF8.self)
    #expect(membership.contains(":/\(name)\n"), "\(membership)")
    // The shim dies: what it left is found where the options said.
    kill(shim, SIGKILL)
    for _ in 0..<100 where Files.exists(options.root + "/e2e/options") { try await Task.sleep(for: .milliseconds(50)) }
    #expect(!Files.exists(options.root + "/e2e/options"))
    await daemon.remove("options")

    options.systemdCgroup = true
    await #expect(throws: ContainerdError.self) {
      try await daemon.create("systemd", "true", options: TypedValue(typeURL: RuntimeOptions.typeURL, value: options.encoded))
    }
    await daemon.remove("systemd")
  }

  private func parent(of pid: UInt32) throws -> pid_t {
    let status = String(decoding: try Files.read("/proc/\(pid)/status"), as: UTF8.self)
    let line = status.split(separator: "\n").first { $0.hasPrefix("PPid:") }
    return try #require(line.flatMap { pid_t($0.dropFirst(5).drop { $0 == "\t" || $0 == " " }) })
  }
}
