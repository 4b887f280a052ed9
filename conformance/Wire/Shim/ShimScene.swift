import BlockingIO
import CLinux
import ConformanceSuites
import Synchronization
import SystemKit

/// The daemon's side of a shim: bundles, a root file system of one program, the ear for events; and the removal of it all.
public final class ShimScene: Sendable {
  public typealias Note = @Sendable (_ text: String, _ command: String) -> Void

  let binary: String
  let directory: String
  /// Unlike any other of this machine: processes, cgroups and state directories are found by it.
  let namespace: String
  let note: Note
  let listener: EventListener
  /// Sockets have short paths: the case's own directory may be too deep.
  private let socketDirectory: String
  private struct State {
    var bundles: [String: String] = [:]
    var processes: Set<pid_t> = []
    var connections: [any ShimCalls] = []
    var sockets: Set<String> = []
  }
  private let state = Mutex(State())

  private static let applets = [
    "sh", "sleep", "echo", "cat", "head", "stty", "true", "touch", "dd", "kill", "ls", "mount", "seq", "setsid", "test", "id", "grep", "yes",
  ]
  public static let busybox = "/bin/busybox"

  var rootfs: String { directory + "/rootfs" }
  var commandEnvironment: [String] {
    var inherited: [String] = []
    var next = clinux_environ()
    while let variables = next, let variable = variables.pointee {
      inherited.append(String(cString: variable))
      next = variables + 1
    }
    let own = ["TTRPC_ADDRESS=\(listener.path)", "GRPC_ADDRESS=\(address)", "NAMESPACE=\(namespace)", "MAX_SHIM_VERSION=2", "GOMAXPROCS=2"]
    let names = own.map { $0.prefix { $0 != "=" } + "=" }
    let path = inherited.contains { $0.hasPrefix("PATH=") } ? [] : ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    return inherited.filter { variable in !names.contains { variable.hasPrefix($0) } } + own + path
  }
  /// Where a daemon would listen.
  var address: String { socketDirectory + "/daemon" }
  var publisher: String { directory + "/publish" }

  /// Blocking.
  public init(binary: String, directory: String, mark: String, note: @escaping Note) throws {
    self.binary = binary
    self.directory = directory
    self.note = note
    var template = Array("/tmp/\(mark)-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp", "/tmp/\(mark)-XXXXXX") }
    socketDirectory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    namespace = "\(mark)-\(socketDirectory.suffix(6))"
    listener = try EventListener(path: socketDirectory + "/events")
    listener.begin()
    // Shims of the first generation publish through this program.
    try Files.writeAtomically(Array("#!/bin/sh\ncat > /dev/null\n".utf8), to: publisher, mode: 0o755)
    for name in ["bin", "proc", "dev", "tmp"] { try Files.makeDirectories("\(rootfs)/\(name)") }
    try Files.writeAtomically(try Files.read(Self.busybox), to: "\(rootfs)/bin/busybox", mode: 0o755)
    for name in Self.applets { try check("symlink", name) { symlink("busybox", "\(rootfs)/bin/\(name)") } }
  }

  /// The bundle of a container, as a daemon prepares it.
  func makeBundle(_ id: String, configuration: String) async throws -> String {
    let bundle = "\(directory)/bundles/\(id)"
    try await DedicatedThread.run {
      try Files.makeDirectories(bundle + "/rootfs")
      try Files.writeAtomically(Array(configuration.utf8), to: bundle + "/config.json", mode: 0o644)
      try check("mkfifo", bundle) { mkfifo(bundle + "/log", 0o700) }
      // Held open for the case, so that a shim can always open it to write.
      self.hold(try Files.open(bundle + "/log", O_RDWR | O_NONBLOCK).release())
    }
    state.withLock { $0.bundles[id] = bundle }
    return bundle
  }

  private let held = Mutex<[Int32]>([])
  func hold(_ descriptor: Int32) { held.withLock { $0.append(descriptor) } }

  func remember(process: UInt32) { if process > 1 { state.withLock { _ = $0.processes.insert(pid_t(process)) } } }
  func remember(_ connection: any ShimCalls) { state.withLock { $0.connections.append(connection) } }
  func remember(socket: String) { state.withLock { _ = $0.sockets.insert(socket) } }
  func forget(_ id: String) { state.withLock { $0.bundles[id] = nil } }

  /// The shims that run for this case.
  func shims() throws -> [pid_t] {
    try Files.names(in: "/proc").compactMap { pid_t($0) }.filter { pid in
      guard pid != getpid(), Self.isAlive(pid) else { return false }
      // One that ends meanwhile has no command line.
      guard let line = try? Files.read("/proc/\(pid)/cmdline") else { return false }
      return line.split(separator: 0).contains { String(decoding: $0, as: UTF8.self) == namespace }
    }
  }

  /// Whether there is such a process, and not only its status to be fetched.
  static func isAlive(_ pid: pid_t) -> Bool {
    guard let bytes = try? Files.read("/proc/\(pid)/stat") else { return false }
    let text = String(decoding: bytes, as: UTF8.self)
    guard let bracket = text.lastIndex(of: ")") else { return false }
    let state = text[bracket...].dropFirst(2).first
    return state != "Z" && state != "X"
  }

  /// Children that have ended and whose status nobody has fetched.
  static func deadChildren(of parent: pid_t) throws -> [pid_t] {
    try Files.names(in: "/proc").compactMap { pid_t($0) }.filter { pid in
      // One that ends meanwhile is reaped.
      guard let bytes = try? Files.read("/proc/\(pid)/stat") else { return false }
      let text = String(decoding: bytes, as: UTF8.self)
      guard let bracket = text.lastIndex(of: ")") else { return false }
      let words = text[bracket...].dropFirst(2).split(separator: " ")
      return words.count > 1 && words[0] == "Z" && words[1] == "\(parent)"
    }
  }

  func mounts() throws -> [String] {
    String(decoding: try Files.read("/proc/self/mountinfo"), as: UTF8.self).split(separator: "\n").compactMap {
      let words = $0.split(separator: " ")
      return words.count > 4 && words[4].hasPrefix(directory + "/") ? String(words[4]) : nil
    }
  }

  /// Ends and removes everything, whatever state the case has left it in.
  public func end() async throws {
    let (bundles, processes, connections, sockets) = state.withLock { ($0.bundles, $0.processes, $0.connections, $0.sockets) }
    for connection in connections { connection.close() }
    try await DedicatedThread.run { [self] in
      for pid in try shims() + processes where Self.isAlive(pid) && pid != getpid() { kill(pid, SIGKILL) }
      for pid in processes { waitpid(pid, nil, WNOHANG) }
    }
    for (id, bundle) in bundles where Files.exists(bundle) {
      // Whatever it says: what it leaves is removed below.
      _ = try? await ShimCommand(arguments: arguments(id) + ["-bundle", bundle, "delete"], environment: commandEnvironment, directory: bundle).run()
    }
    listener.end()
    for descriptor in held.withLock({ $0 }) { close(descriptor) }
    try await DedicatedThread.run { [self] in
      for pid in try shims() { kill(pid, SIGKILL) }
      for mount in try mounts().reversed() { try Mounts.unmount(mount, flags: Int32(MNT_DETACH)) }
      // runc's shim keeps its state there, whatever daemon it serves.
      if Files.exists("/run/containerd/runc/" + namespace) { try Files.removeTree("/run/containerd/runc/" + namespace) }
      for socket in sockets { unlink(socket) }
      try removeCgroups()
      try Files.removeTree(socketDirectory)
    }
  }

  func arguments(_ id: String) -> [String] { [binary, "-namespace", namespace, "-address", address, "-publish-binary", publisher, "-id", id] }
  func cgroup(_ id: String) -> String { "\(namespace)-\(id)" }

  private func removeCgroups() throws {
    for place in try cgroups() {
      for _ in 0..<100 {
        if rmdir(place) == 0 || clinux_errno() == ENOENT { break }
        usleep(10_000)
      }
    }
  }

  /// The control groups of this case that are there.
  func cgroups() throws -> [String] {
    let top = "/sys/fs/cgroup"
    return try ([""] + Files.names(in: top).map { "/" + $0 }).flatMap { hierarchy -> [String] in
      // Not every name is a directory.
      guard let names = try? Files.names(in: top + hierarchy) else { return [] }
      return names.filter { $0.hasPrefix(namespace) }.map { "\(top)\(hierarchy)/\($0)" }
    }
  }
}
