import BlockingIO
import CLinux
import ConformanceSuites
import Protocols
import SystemKit

/// What lies between a daemon, its shims and what runs, seen from outside.
public enum ContainerLifeSuite {
  private static func lines(_ subject: ContainerLifeSubject, _ name: String) throws -> [String] {
    let path = "\(subject.output)/\(name)"
    if !Files.exists(path) { return [] }
    let bytes = try Files.read(path)
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  private static func end(_ subject: ContainerLifeSubject, _ id: String) async throws {
    _ = try await inTime("the end of \(id)", seconds: Int(20 * subject.patience)) { try await subject.wait(id) }
    try await subject.deleteTask(id)
    try await subject.forget(id)
  }

  /// Where mounts are not to be seen, their absence says nothing.
  private static func expectSight(_ subject: ContainerLifeSubject, _ id: String) throws {
    if try subject.mountPoints(id).isEmpty {
      throw CaseSkipped(.environment, "the mounts of a container that is there are not to be seen in the daemon's mount namespace")
    }
  }

  private static func link(_ path: String) -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink(path, &buffer, buffer.count)
    return String(decoding: buffer[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  public static let cases: [ContractCase<ContainerLifeSubject>] = [
    ContractCase(
      "boundaries.daemon.create-runs-nothing", "after a daemon has created a task, nothing of the image runs; after it has started it, the program runs",
      "docs/architecture.md, law 6; Runtime, law 1; RT-L11, RT-O14; LB-13; LAW-06",
      why: "whoever sets up network, devices or policy between create and start does so too late"
    ) { subject in
      try await subject.register(.init("c", "echo ran >>/out/ran"))
      let pid = try await subject.create("c")
      try await Task.sleep(for: .milliseconds(300))
      try expectEqual(try lines(subject, "ran"), [], "what the program has done before start")
      try expectEqual(try await subject.status("c"), .created, "status before start")
      try expect(kill(pid_t(pid), 0) == 0, "there is no process \(pid) that holds the created container")
      let held = try Files.read("/proc/\(pid)/cmdline")
      try expect(!String(decoding: held, as: UTF8.self).contains("/out/ran"), "the process that holds the created container runs the program already")
      try await subject.start("c")
      try await end(subject, "c")
      try expectEqual(try lines(subject, "ran"), ["ran"], "what the program has done after start")
    },
    ContractCase(
      "boundaries.daemon.network-between",
      "between create and start of a task its network namespace is there, can be set up from outside, and the program finds it so",
      "docs/architecture.md, law 6; RT-L10, RT-O13; LB-13; LAW-06", why: "networking is not the core's: plugins come between create and start"
    ) { subject in
      try await subject.register(.init("c", "ip addr show lo >/out/network", network: true))
      let pid = try await subject.create("c")
      try expect(link("/proc/\(pid)/ns/net") != link("/proc/self/ns/net"), "after create the container has no network namespace of its own")
      let busybox = subject.busybox
      try await DedicatedThread.run {
        for words in [["ip", "addr", "add", "10.97.13.1/32", "dev", "lo"], ["ip", "link", "set", "lo", "up"]] {
          let (status, output) = try ShortProgram.run(["nsenter", "--net=/proc/\(pid)/ns/net", busybox] + words)
          if status == 127 { throw CaseSkipped(.tool, "nsenter cannot be run: install util-linux") }
          try expect(status == 0, "the network namespace of a created task could not be set up from outside: \(output)")
        }
      }
      try await subject.start("c")
      try await end(subject, "c")
      let seen = try lines(subject, "network")
      try expect(seen.contains { $0.contains("10.97.13.1") }, "the program did not find the address that was added between create and start; it saw \(seen)")
    },
    ContractCase(
      "boundaries.daemon.start-once", "a task is started once: a second start is an error and runs nothing",
      "docs/architecture.md, law 6; RT-O21; LB-13; LAW-06",
      why: "a client that lost an answer and asks again would run a job twice"
    ) { subject in
      try await subject.register(.init("c", "echo ran >>/out/ran; sleep 1"))
      _ = try await subject.create("c")
      try await subject.start("c")
      try await expectRefusal(of: "a second start") { try await subject.start("c") }
      try await end(subject, "c")
      try expectEqual(try lines(subject, "ran").count, 1, "how often the program ran")
    },
    ContractCase(
      "boundaries.daemon.rootfs-mounted-for-the-task-alone", "a container's root file system is mounted while it has a task: not before, and not after",
      "docs/architecture.md, law 5, 7; SHIM-05, SHIM-06; LB-08; LAW-05, LAW-07",
      why: "a mount that nobody owns keeps the snapshot busy: it can neither be removed nor freed", threads: ["containerd/containerd#5538"]
    ) { subject in
      try await subject.register(.init("c", "sleep 100"))
      try expectEqual(try subject.mountPoints("c"), [], "mounts of the container before it has a task")
      _ = try await subject.create("c")
      try await subject.start("c")
      try expectSight(subject, "c")
      try await subject.kill("c")
      _ = try await inTime("the end of c", seconds: Int(20 * subject.patience)) { try await subject.wait("c") }
      try await subject.deleteTask("c")
      // A shim may still be about to end.
      var left = try subject.mountPoints("c")
      for _ in 0..<100 where !left.isEmpty {
        try await Task.sleep(for: .milliseconds(20))
        left = try subject.mountPoints("c")
      }
      try expectEqual(left, [], "mounts of the container after its task was deleted")
      try await subject.forget("c")
    },
    ContractCase(
      "boundaries.daemon.shim-mounts", "the shim performs the mounts of a root file system, and not the daemon",
      "docs/architecture.md, law 5, 7; SHIM-05; LB-08; LAW-05, LAW-07",
      why: "what a daemon has mounted is lost with it, or stays for ever: containers must outlive it", threads: ["containerd/containerd#8563"]
    ) { subject in
      try await subject.register(.init("seen", "sleep 100"))
      _ = try await subject.create("seen")
      try expectSight(subject, "seen")
      try await subject.start("seen")
      try await subject.kill("seen")
      try await end(subject, "seen")
      // What a shim mounts in a namespace of its own, only it and its container see: what the daemon sees too, it has mounted itself.
      try await subject.register(.init("c", "echo ran >>/out/ran; sleep 1", shimApart: true))
      _ = try await subject.create("c")
      try expectEqual(try subject.mountPoints("c"), [], "mounts of a created container that its shim did not make")
      try await subject.start("c")
      try await eventually("the program, in a root file system that only its shim has mounted,") { try lines(subject, "ran").isEmpty ? nil : true }
      try expectEqual(try subject.mountPoints("c"), [], "mounts of a running container that its shim did not make")
      try await end(subject, "c")
    },
    ContractCase(
      "boundaries.daemon.same-trace", "a container's life is told in the events that containerd tells, in its order", "LB-14; EVT-01; SHIM-07",
      why: "whatever follows a containerd by its events follows this one too, or does not"
    ) { subject in
      let before = subject.topics().count
      try await subject.register(.init("c", "exit 3"))
      _ = try await subject.create("c")
      try await subject.start("c")
      let code = try await inTime("the end of c", seconds: Int(20 * subject.patience)) { try await subject.wait("c") }
      try expectEqual(code, 3, "exit code")
      _ = try await eventually("the event of the exit") { subject.topics().contains("/tasks/exit") ? true : nil }
      try await subject.deleteTask("c")
      try await subject.forget("c")
      _ = try await eventually("the event of the container's deletion") { subject.topics().contains("/containers/delete") ? true : nil }
      try await Task.sleep(for: .milliseconds(200))
      let told = subject.topics().dropFirst(before).filter { !mayBeTold.contains($0) }
      try expectEqual(Array(told), wanted, "the topics of a container's life")
    },
  ]

  /// What containerd 1.6.20 tells of the same steps.
  private static let wanted = ["/containers/create", "/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete", "/containers/delete"]
  /// What a daemon may tell beside: containerd 1.6 does not tell of snapshots that clients make, later ones do; namespaces come and go with their first object.
  private static let mayBeTold: Set = [
    "/snapshot/prepare", "/snapshot/commit", "/snapshot/remove", "/namespaces/create", "/namespaces/update", "/namespaces/delete",
  ]
}

/// A program that ends soon. Blocking.
enum ShortProgram {
  static func run(_ words: [String]) throws -> (status: Int32, output: String) {
    var ends: [Int32] = [0, 0]
    try check("pipe2", words[0]) { pipe2(&ends, O_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
    var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { argv.forEach { free($0) } }
    var pid: pid_t = 0
    let failure = posix_spawnp(&pid, words[0], &actions, nil, &argv, clinux_environ())
    close(ends[1])
    let reading = OwnedFD(adopting: ends[0])
    if failure != 0 { return (127, "\(SystemError(errno: failure, operation: "spawn", object: words[0]))") }
    let output = try Files.readAll(reading, path: words[0])
    var status: Int32 = 0
    try check("waitpid", words[0]) { waitpid(pid, &status, 0) }
    return (clinux_wifexited(status) != 0 ? clinux_wexitstatus(status) : 128 + clinux_wtermsig(status), String(decoding: output, as: UTF8.self))
  }
}
