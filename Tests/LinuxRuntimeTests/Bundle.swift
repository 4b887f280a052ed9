import CLinux
import LinuxRuntime
import SystemKit
import TestSupport

/// A bundle with a busybox root, a private state directory, and what its containers print.
final class Bundle {
  static let reason = "needs root and /bin/busybox (busybox-static)"
  static var possible: Bool { geteuid() == 0 && Files.exists("/bin/busybox") }

  let scratch = ScratchDirectory("runtime")
  var path: String { scratch.path + "/bundle" }
  var root: String { scratch.path + "/state" }
  var rootfs: String { path + "/rootfs" }
  private(set) var containers: [String] = []
  private static nonisolated(unsafe) var counter = 0

  init() throws {
    for name in ["bin", "etc", "proc", "dev", "sys", "tmp", "scratch"] { try Files.makeDirectories("\(rootfs)/\(name)") }
    try copyProgram("/bin/busybox", to: rootfs + "/bin/busybox")
    for name in ["sh", "true", "cat", "ls", "id", "sleep", "mkdir", "echo", "hostname", "env", "touch", "ip", "readlink", "stat"] {
      symlink("busybox", "\(rootfs)/bin/\(name)")
    }
    try Files.writeAtomically(Array("root:x:0:0:r:/root:/bin/sh\nu:x:7:7:u:/home/u:/bin/sh\n".utf8), to: rootfs + "/etc/passwd", mode: 0o644)
  }

  deinit {
    for id in containers {
      if let container = try? Container.load(root: root, id: id) {
        try? container.delete(force: true)
        var status: Int32 = 0
        waitpid(container.initPID, &status, 0)
      }
    }
    // The parent that the cgroups of tests share; stays while another test uses it.
    for name in (try? Files.names(in: "/sys/fs/cgroup")) ?? [] { rmdir("/sys/fs/cgroup/\(name)/ref-tests") }
  }

  /// The default configuration running a shell script, with members of the document replaced: "process.cwd": value.
  func spec(_ script: String, _ changes: [(String, JSONValue)] = []) throws -> RuntimeSpec {
    try RuntimeSpec(json: config(["/bin/sh", "-c", script], changes).serialized())
  }

  func config(_ args: [String], _ changes: [(String, JSONValue)] = []) -> JSONValue {
    var config = DefaultSpec.json
    Self.counter += 1
    let basics: [(String, JSONValue)] = [
      ("process.terminal", .bool(false)), ("process.args", .strings(args)), ("root.readonly", .bool(false)),
      ("linux.cgroupsPath", .string("/ref-tests/\(getpid())-\(Self.counter)")),
    ]
    for (path, value) in basics + changes { config = Self.replace(config, path.split(separator: ".")[...], value) }
    return config
  }

  private static func replace(_ value: JSONValue, _ path: ArraySlice<Substring>, _ new: JSONValue) -> JSONValue {
    guard let name = path.first else { return new }
    guard case .object(var members) = value else { return replace(.object([]), path, new) }
    if let index = members.firstIndex(where: { $0.name == name }) {
      members[index].value = replace(members[index].value, path.dropFirst(), new)
    } else {
      members.append(JSONMember(name: String(name), value: replace(.object([]), path.dropFirst(), new)))
    }
    return .object(members)
  }

  func create(_ spec: RuntimeSpec, id: String = "c", output: String = "out") throws -> Container {
    containers.append(id)
    let file = try Files.open("\(scratch.path)/\(output)", O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)
    let null = try Files.open("/dev/null", O_RDONLY)
    var options = CreateOptions(id: id, bundle: path, root: root)
    options.stdio = Stdio(stdin: null.raw, stdout: file.raw, stderr: file.raw)
    return try Container.create(options, spec: spec)
  }

  /// Until it holds, at most twenty seconds: what another process does is not done at once.
  static func eventually(_ holds: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<2000 {
      if try holds() { return true }
      usleep(10_000)
    }
    return try holds()
  }

  func printed(_ output: String = "out") throws -> String {
    String(decoding: try Files.read("\(scratch.path)/\(output)"), as: UTF8.self)
  }

  /// Creates, starts, waits, deletes: exit status and what was printed.
  func run(_ spec: RuntimeSpec, id: String = "c") throws -> (status: Int32, output: String) {
    let container = try create(spec, id: id)
    try container.start()
    let status = Self.wait(container.initPID)
    try container.delete()
    let output = try printed()
    unlink(scratch.path + "/out")
    return (status, output)
  }

  static func wait(_ pid: Int32) -> Int32 {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, clinux_errno() == EINTR {}
    return clinux_wifexited(status) != 0 ? clinux_wexitstatus(status) : 128 + clinux_wtermsig(status)
  }

  /// A further process that prints to `output`.
  func exec(_ container: Container, _ args: [String], output: String = "exec", _ change: (inout ProcessSpec) -> Void = { _ in }) throws -> Int32 {
    var process = container.spec.process ?? ProcessSpec()
    process.args = args
    change(&process)
    let file = try Files.open("\(scratch.path)/\(output)", O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)
    let null = try Files.open("/dev/null", O_RDONLY)
    var options = ExecOptions()
    options.stdio = Stdio(stdin: null.raw, stdout: file.raw, stderr: file.raw)
    return Self.wait(try container.exec(process, options).pid)
  }
}
