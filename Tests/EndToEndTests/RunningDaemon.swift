import CLinux
import ContainerdClient
import Protocols
import SystemKit
import TestSupport

/// Our daemon, built beside the tests, in a scratch directory; with a root file system of busybox to run containers from.
final class RunningDaemon: Sendable {
  static let reason = "needs root, /bin/busybox (busybox-static) and containerd-ref and its shim built beside the tests"
  static var possible: Bool {
    geteuid() == 0 && Files.exists("/bin/busybox") && sibling("containerd-ref") != nil && sibling("containerd-shim-ref-v2") != nil
  }

  static func sibling(_ name: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, 4095)
    guard count > 0 else { return nil }
    let path = Files.parent(of: String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)) + "/" + name
    return Files.exists(path) ? path : nil
  }

  let scratch = ScratchDirectory("ref-e2e")
  var socket: String { scratch.path + "/run/containerd.sock" }
  var rootfs: String { scratch.path + "/rootfs" }
  var output: String { scratch.path + "/output" }
  private let pid = Pid()

  /// The running process; a box, for it changes with a restart.
  private final class Pid: @unchecked Sendable {
    var value: pid_t = 0
  }

  init() async throws {
    for name in ["bin", "proc", "dev", "sys", "etc"] { try Files.makeDirectories("\(rootfs)/\(name)") }
    try copyProgram("/bin/busybox", to: rootfs + "/bin/busybox")
    for name in ["sh", "ip", "sleep", "echo"] { symlink("busybox", "\(rootfs)/bin/\(name)") }
    let configuration = "version = 2\nroot = \"\(scratch.path)/root\"\nstate = \"\(scratch.path)/run\"\n"
    try Files.writeAtomically(Array(configuration.utf8), to: scratch.path + "/config.toml", mode: 0o644)
    try await start()
  }

  deinit { if pid.value > 0 { end(SIGTERM) } }

  func start() async throws {
    guard let program = Self.sibling("containerd-ref") else { throw SystemError(errno: ENOENT, operation: "start", object: "containerd-ref") }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    for fd: Int32 in [1, 2] { posix_spawn_file_actions_addopen(&actions, fd, scratch.path + "/daemon.log", O_WRONLY | O_CREAT | O_APPEND, 0o644) }
    posix_spawn_file_actions_addclosefrom_np(&actions, 3)
    var argv: [UnsafeMutablePointer<CChar>?] = [program, "serve", "--config", scratch.path + "/config.toml"].map { strdup($0 as String) } + [nil]
    defer { argv.forEach { free($0) } }
    let result = posix_spawn(&pid.value, program, &actions, nil, &argv, clinux_environ())
    if result != 0 { throw SystemError(errno: result, operation: "start", object: program) }
    for attempt in 0... {
      do {
        _ = try await connect { try await $0.tasks.list() }
        return
      } catch {
        if attempt == 200 { throw error }
        try await Task.sleep(for: .milliseconds(50))
      }
    }
  }

  /// Ends the daemon and waits until it is gone.
  func end(_ signal: Int32) {
    kill(pid.value, signal)
    var status: Int32 = 0
    while waitpid(pid.value, &status, 0) < 0, clinux_errno() == EINTR {}
    pid.value = 0
  }

  func connect<Value: Sendable>(_ body: @Sendable (ContainerdClient) async throws -> Value) async throws -> Value {
    try await ContainerdClient.with(socket: socket, namespace: "e2e", body)
  }

  /// A container of the busybox root and its task, created, not started; what it prints goes to `output`.
  func create(_ id: String, _ script: String, options: TypedValue? = nil) async throws {
    let spec = """
      {"ociVersion":"1.0.2","process":{"user":{"uid":0,"gid":0},"cwd":"/","args":["/bin/sh","-c","\(script)"],"env":["PATH=/bin"],
       "capabilities":{"bounding":["CAP_KILL"],"effective":["CAP_KILL"],"permitted":["CAP_KILL"]},"noNewPrivileges":true},
       "root":{"path":"rootfs"},"hostname":"\(id)","mounts":[
        {"destination":"/proc","type":"proc","source":"proc"},
        {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","mode=755"]},
        {"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]}],
       "linux":{"cgroupsPath":"/ref-e2e/\(id)-\(getpid())","namespaces":[
        {"type":"pid"},{"type":"network"},{"type":"ipc"},{"type":"uts"},{"type":"mount"}]}}
      """
    let record = ContainerRecord(
      id: id, runtime: "io.containerd.runc.v2", runtimeOptions: options,
      spec: TypedValue(typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: Array(spec.utf8)))
    let (root, output) = (rootfs, output)
    try await connect { client in
      _ = try await client.containers.create(record)
      let mount = Mount(type: "bind", source: root, options: ["rbind", "rw"])
      _ = try await client.tasks.create(id, rootfs: [mount], io: TaskIO(stdout: "file://" + output, stderr: "file://" + output), options: options)
    }
  }

  func state(_ id: String) async throws -> ProcessState { try await connect { try await $0.tasks.task(id).state(exec: nil) } }

  /// Takes away whatever there is of a container.
  func remove(_ id: String) async {
    _ = try? await connect { client in
      _ = try? await client.tasks.task(id).kill(exec: nil, signal: 9, all: true)
      _ = try? await client.tasks.task(id).wait(exec: nil)
      _ = try? await client.tasks.task(id).delete(exec: nil)
      try await client.containers.delete(id)
    }
    rmdir("/sys/fs/cgroup/ref-e2e")
  }
}
