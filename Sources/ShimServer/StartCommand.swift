import CLinux
import LinuxRuntime
import ShimWire
import SystemKit

/// `start`: leaves a server running and prints where it listens.
enum StartCommand {
  static let serverAction = "serve"
  static let listener: Int32 = 3
  private static let groupAnnotations = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"]

  static func run(_ arguments: ShimArguments) throws(ServiceError) {
    let input = try LaunchInput.read()
    let options = try LaunchInput.options(input, namespace: arguments.namespace, id: arguments.id)
    let path = ShimPaths.socket(arguments, group: group(arguments))
    do throws(SystemError) {
      try Files.makeDirectories(ShimPaths.socketDirectory, mode: 0o700)
      if (try? UnixSocket.connect(path)) == nil { try serve(arguments, path, cgroup: options?.shimCgroup ?? "") }
      let address = "unix://" + path
      try Files.writeAtomically(Array(address.utf8), to: arguments.bundle + "/address", mode: 0o600)
      Output.write(Array(address.utf8))
    } catch {
      throw ServiceError(.unknown, "start the shim of \(arguments.id): \(error)")
    }
  }

  /// Containers of a pod share a shim.
  private static func group(_ arguments: ShimArguments) -> String {
    guard let spec = try? Container.readSpec(bundle: arguments.bundle) else { return arguments.id }
    for name in groupAnnotations {
      if let value = spec.annotations.first(where: { $0.0 == name })?.1, !value.isEmpty { return value }
    }
    return arguments.id
  }

  private static func serve(_ arguments: ShimArguments, _ path: String, cgroup: String) throws(SystemError) {
    // Nobody listens there: what is left of a shim that was killed.
    unlink(path)
    let socket = try UnixSocket.listen(path)
    var pid: pid_t = 0
    do throws(SystemError) {
      pid = try spawn(arguments.words + ["-socket", path, serverAction], listener: socket.raw)
      // Before anybody knows the address, so before there is a container.
      if !cgroup.isEmpty { try ExistingCgroup.join(cgroup, pid: pid) }
    } catch {
      if pid > 0 { kill(pid, SIGKILL) }
      unlink(path)
      throw error
    }
    adjustOutOfMemoryScore(pid)
  }

  private static func spawn(_ words: [String], listener: Int32) throws(SystemError) -> pid_t {
    var program = [CChar](repeating: 0, count: 4096)
    try check("readlink", "/proc/self/exe") { readlink("/proc/self/exe", &program, program.count - 1) }
    let path = String(decoding: program.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return try ChildProgram.spawn(path, arguments: ["containerd-shim-ref-v2"] + words, descriptors: [-1, -1, -1, listener], newSession: true)
  }

  /// When memory runs out the daemon shall outlive its shims, so each is one more worth killing, as containerd has it. What a
  /// container has not set for itself it inherits from here.
  private static func adjustOutOfMemoryScore(_ pid: pid_t) {
    guard let own = try? Files.read("/proc/self/oom_score_adj", limit: 64),
      let score = Int(String(decoding: own, as: UTF8.self).split(separator: "\n").first ?? "")
    else { return }
    // Raising needs no privilege; the shim works without.
    _ = try? SmallFile.write(String(min(score + 1, 1000)), to: "/proc/\(pid)/oom_score_adj")
  }
}
