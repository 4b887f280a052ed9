import BlockingIO
import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import ContainerdClient
import Protocols
import Synchronization
import SystemKit

extension Target {
  /// `inproc:ref-daemon`: the daemon program of this package, started for each case with files of its own.
  static func refDaemon(_ address: String) -> Target {
    var target = Target(address: address, capabilities: [.programs])
    target[ContainerLifeSubject.self] = { workspace in
      let socket = try await RefDaemon.start(in: workspace, hidden: false)
      return try await ContainerLife.subject(
        socket: socket, snapshotter: "overlayfs", shim: try RefDaemon.programBeside("containerd-shim-ref-v2"), in: workspace)
    }
    return target
  }
}

/// Containers of a daemon behind a socket, step by step.
enum ContainerLife {
  static func subject(socket: String, snapshotter: String, shim: String, in workspace: Workspace) async throws -> ContainerLifeSubject {
    if geteuid() != 0 { throw CaseSkipped(.privilege, "containers need root here") }
    let busybox = "/bin/busybox"
    guard Files.exists(busybox) else { throw CaseSkipped(.tool, "\(busybox) is missing: install busybox-static") }
    let namespace = Namespaces.fresh(in: workspace)
    let plain = try await Connection.open(socket: socket, namespace: namespace, in: workspace)
    let client = try await Namespaces.lease(plain, namespace, socket: socket, in: workspace)
    let snapshots = client.snapshotter(snapshotter)
    // Control groups and mounts of the case are told from others by it.
    let mark = namespace
    workspace.endings.add {
      for task in try await client.tasks.list() {
        let task = client.tasks.task(task.containerID)
        do {
          try await task.kill(exec: nil, signal: 9, all: true)
          _ = try await task.wait(exec: nil)
        } catch let error as ContainerdError where error.code == .notFound || error.code == .failedPrecondition {}
        do { _ = try await task.delete(exec: nil) } catch let error as ContainerdError where error.code == .notFound {}
      }
      for container in try await client.containers.list(.all) { try await client.containers.delete(container.id) }
      try await empty(snapshots)
      try await DedicatedThread.run { try removeCgroups(mark) }
    }

    let output = workspace.directory + "/out"
    let topics = Mutex<[String]>([])
    let listening = Task { try await plain.events { event in if event.namespace == namespace { topics.withLock { $0.append(event.topic) } } } }
    workspace.endings.add { listening.cancel() }
    try await DedicatedThread.run { try Files.makeDirectories(output) }
    try await base(snapshots, busybox: busybox, place: workspace.directory + "/base")
    // A subscription says nothing when it begins: containers come and go until one is heard of.
    let spec = TypedValue(typeURL: specification, value: Array("{}".utf8))
    for number in 0..<200 where topics.withLock({ $0.isEmpty }) {
      _ = try await client.containers.create(ContainerRecord(id: "wait-\(number)", runtime: runtime, spec: spec))
      try await client.containers.delete("wait-\(number)")
      try await Task.sleep(for: .milliseconds(30))
    }
    try await Task.sleep(for: .milliseconds(200))

    let mounts = Mutex<[String: [Mount]]>([:])
    // The daemon may live in another mount namespace than this process.
    let daemon = try await Connection.listener(on: socket)
    let table = daemon > 0 ? "/proc/\(daemon)/mountinfo" : "/proc/self/mountinfo"
    return ContainerLifeSubject(
      register: { order in
        let prepared = try await snapshots.prepare(order.id, parent: "base", labels: [:])
        mounts.withLock { $0[order.id] = prepared }
        let text = configuration(order, output: output, cgroup: "/\(mark)-\(order.id)")
        workspace.record.add("make the container \(order.id): \(order.script)", command: "")
        _ = try await client.containers.create(
          ContainerRecord(
            id: order.id, runtime: order.shimApart ? try await apart(shim, in: workspace) : runtime,
            spec: TypedValue(typeURL: specification, value: Array(text.utf8)), snapshotter: snapshotter, snapshotKey: order.id))
      },
      create: { id in
        workspace.record.add("create the task of \(id)")
        let task = try await client.tasks.create(id, rootfs: mounts.withLock { $0[id] ?? [] }, io: TaskIO())
        return try await task.state(exec: nil).pid
      },
      start: { id in
        workspace.record.add("start the task of \(id)", command: Shell.line(["ctr", "--address", socket, "-n", namespace, "tasks", "start", id]))
        _ = try await client.tasks.task(id).start(exec: nil)
      },
      status: { try await client.tasks.task($0).state(exec: nil).status },
      kill: { try await client.tasks.task($0).kill(exec: nil, signal: 9, all: true) },
      wait: { try await client.tasks.task($0).wait(exec: nil).code },
      deleteTask: { _ = try await client.tasks.task($0).delete(exec: nil) },
      forget: { id in
        try await client.containers.delete(id)
        try await snapshots.remove(id)
      },
      topics: { topics.withLock { $0 } }, output: output,
      mountPoints: { id in
        String(decoding: try Files.read(table), as: UTF8.self).split(separator: "\n").compactMap { line in
          line.split(separator: " ").dropFirst(4).first.map(String.init)
        }.filter { $0.contains("/\(namespace)/\(id)/") }
      }, busybox: busybox, patience: workspace.patience
    ) { workspace.record.add($0) }
  }

  static let runtime = "io.containerd.runc.v2"
  static let specification = "types.containerd.io/opencontainers/runtime-spec/1/Spec"

  /// A shim like the given one, in a mount namespace of its own.
  private static func apart(_ shim: String, in workspace: Workspace) async throws -> String {
    let path = workspace.directory + "/containerd-shim-apart-v2"
    let text = "#!/bin/sh\nexec unshare --mount --propagation slave \(Shell.word(shim)) \"$@\"\n"
    try await DedicatedThread.run { try Files.writeAtomically(Array(text.utf8), to: path, mode: 0o755) }
    return path
  }

  /// A committed snapshot with busybox in it.
  private static func base(_ snapshots: any Snapshotter, busybox: String, place: String) async throws {
    let mounts = try await snapshots.prepare("making base", parent: nil, labels: [:])
    try await DedicatedThread.run {
      try Files.makeDirectories(place)
      for mount in mounts { try Mounts.mount(type: mount.type, source: mount.source, target: place, options: mount.options) }
      do {
        for name in ["bin", "proc", "dev", "out", "tmp"] { try Files.makeDirectories("\(place)/\(name)") }
        try Files.writeAtomically(try Files.read(busybox), to: place + "/bin/busybox", mode: 0o755)
        for name in ["sh", "echo", "sleep", "ip", "cat"] { try check("symlink", name) { symlink("busybox", "\(place)/bin/\(name)") } }
      } catch {
        try Mounts.unmount(place)
        throw error
      }
      try Mounts.unmount(place)
    }
    try await snapshots.commit("base", key: "making base", labels: [:])
  }

  private static func configuration(_ order: ContainerLifeSubject.Order, output: String, cgroup: String) -> String {
    let script = order.script.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    let network = order.network ? #",{"type":"network"}"# : ""
    return """
      {"ociVersion":"1.0.2","process":{"user":{"uid":0,"gid":0},"args":["/bin/sh","-c","\(script)"],"env":["PATH=/bin"],"cwd":"/"},"root":{"path":"rootfs"},
       "mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","mode=755"]},
                 {"destination":"/out","type":"bind","source":"\(output)","options":["rbind","rw"]}],
       "linux":{"cgroupsPath":"\(cgroup)","namespaces":[{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"}\(network)]}}
      """
  }

  /// What a runtime may have left of the case's control groups.
  private static func removeCgroups(_ mark: String) throws {
    let top = "/sys/fs/cgroup"
    for hierarchy in try [""] + Files.names(in: top).map({ "/" + $0 }) {
      // Not every name is a directory.
      guard let names = try? Files.names(in: top + hierarchy) else { continue }
      for name in names where name.hasPrefix(mark) { rmdir("\(top)\(hierarchy)/\(name)") }
    }
  }
}
