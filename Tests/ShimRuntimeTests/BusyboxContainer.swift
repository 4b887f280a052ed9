import CLinux
import Protocols
import SystemKit
import TestSupport

@testable import ShimRuntime

/// A root file system of one program, and specs for it.
struct BusyboxContainer {
  static let shim = "/usr/bin/containerd-shim-runc-v2"
  static let programs = [shim, "/usr/sbin/runc", "/bin/busybox"]

  static var reason: String {
    Needs.root ? "needs \(programs.joined(separator: ", "))" : Needs.rootReason
  }
  static var canRun: Bool {
    Needs.root && programs.allSatisfy { access($0, X_OK) == 0 }
  }

  let scene: Scene
  let id: String
  private var rootfs: String { scene.directory.path + "/busybox" }

  init(scene: Scene, id: String) throws {
    self.scene = scene
    self.id = id
    if !Files.exists(rootfs) { try makeRootfs() }
  }

  private func makeRootfs() throws {
    for name in ["bin", "proc", "dev", "tmp", "lib", "lib64"] { try Files.makeDirectories("\(rootfs)/\(name)") }
    try copyProgram("/bin/busybox", to: "\(rootfs)/bin/busybox")
    for name in ["sh", "sleep", "echo", "cat"] { try check("symlink", name) { symlink("busybox", "\(rootfs)/bin/\(name)") } }
    // Debian's busybox may be linked dynamically.
    let linked = try run(["/usr/bin/ldd", "/bin/busybox"])
    for word in linked.output.split(whereSeparator: \.isWhitespace) where word.hasPrefix("/") {
      let target = rootfs + word
      try Files.makeDirectories(Files.parent(of: target))
      if !Files.exists(target) { try copyProgram(String(word), to: target) }
    }
  }

  private static func process(_ script: String) -> String {
    let escaped = script.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    return #"{"terminal":false,"user":{"uid":0,"gid":0},"args":["/bin/sh","-c",""# + escaped + #""],"env":["PATH=/bin"],"cwd":"/"}"#
  }

  private func spec(_ script: String) -> [UInt8] {
    let text = """
      {"ociVersion":"1.0.2","process":\(Self.process(script)),"root":{"path":"rootfs"},"hostname":"busybox",
       "mounts":[{"destination":"/proc","type":"proc","source":"proc"},
                 {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","mode=755"]}],
       "linux":{"cgroupsPath":"/shimrt-\(id)",
                "namespaces":[{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"network"}]}}
      """
    return Array(text.utf8)
  }

  func request(_ script: String, io: TaskIO = TaskIO()) -> TaskCreation {
    TaskCreation(
      namespace: "shimrt", id: id, spec: TypedValue(typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: spec(script)),
      rootfs: [Mount(type: "bind", source: rootfs, options: ["rbind", "rw"])], io: io, runtime: Self.shim)
  }

  func exec(_ name: String, _ script: String, io: TaskIO = TaskIO()) -> ExecCreation {
    ExecCreation(
      id: name, process: TypedValue(typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Process", value: Array(Self.process(script).utf8)),
      io: io)
  }

  /// Nothing of the container may be there any more.
  func leftovers() throws -> [String] {
    var found: [String] = []
    let bundle = try Bundle(TaskKey(namespace: "shimrt", id: id), configuration: scene.configuration())
    for path in [bundle.path, bundle.workPath, "/run/containerd/runc/shimrt/\(id)", "/sys/fs/cgroup/pids/shimrt-\(id)"]
    where Files.exists(path) { found.append(path) }
    let mounts = String(decoding: try Files.read("/proc/self/mountinfo"), as: UTF8.self)
    if mounts.contains("\(bundle.path)/") { found.append("mounts below \(bundle.path)") }
    return found
  }
}

/// FIFOs as a client makes them for a process's output and errors. Both, because runc's shim refuses one without the other.
final class Output: Sendable {
  let io: TaskIO
  private let descriptor: Int32
  private let errors: Int32

  init(_ path: String) throws {
    io = TaskIO(stdout: path, stderr: path + "-errors")
    for path in [io.stdout, io.stderr] { try check("mkfifo", path) { mkfifo(path, 0o600) } }
    descriptor = try Files.open(io.stdout, O_RDWR | O_NONBLOCK).release()
    errors = try Files.open(io.stderr, O_RDWR | O_NONBLOCK).release()
  }

  deinit {
    close(descriptor)
    close(errors)
  }

  /// What has come so far.
  func read() -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = CLinux.read(descriptor, &chunk, chunk.count)
      if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[0..<count]
    }
  }
}
