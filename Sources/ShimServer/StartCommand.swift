import CLinux
import LinuxRuntime
import SystemKit

/// `start`: leaves a server running and prints where it listens.
enum StartCommand {
  static let serverAction = "serve"
  static let listener: Int32 = 3
  private static let groupAnnotations = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"]

  static func run(_ arguments: ShimArguments) throws(ServiceError) {
    skipInput()
    let path = ShimPaths.socket(arguments, group: group(arguments))
    do throws(SystemError) {
      try Files.makeDirectories(ShimPaths.socketDirectory, mode: 0o700)
      if (try? UnixSocket.connect(path)) == nil { try serve(arguments, path) }
      let address = "unix://" + path
      try Files.writeAtomically(Array(address.utf8), to: arguments.bundle + "/address", mode: 0o600)
      Output.write(Array(address.utf8))
    } catch {
      throw ServiceError(.unknown, "start the shim of \(arguments.id): \(error)")
    }
  }

  /// Options of the runtime; all of them have their default here.
  private static func skipInput() {
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(0, &chunk, chunk.count)
      if count == 0 || (count < 0 && clinux_errno() != EINTR) { return }
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

  private static func serve(_ arguments: ShimArguments, _ path: String) throws(SystemError) {
    // Nobody listens there: what is left of a shim that was killed.
    unlink(path)
    let socket = try UnixSocket.listen(path)
    do throws(SystemError) { try spawn(arguments.words + ["-socket", path, serverAction], listener: socket.raw) } catch {
      unlink(path)
      throw error
    }
  }

  private static func spawn(_ words: [String], listener socket: Int32) throws(SystemError) {
    var program = [CChar](repeating: 0, count: 4096)
    try check("readlink", "/proc/self/exe") { readlink("/proc/self/exe", &program, program.count - 1) }

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // First: the listener may be at one of the numbers that are given away below.
    let high = clinux_fcntl(socket, F_DUPFD_CLOEXEC, 10)
    guard high >= 0 else { throw SystemError.last("dup", "listener") }
    defer { close(high) }
    for fd in 0..<listener { posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0) }
    posix_spawn_file_actions_adddup2(&actions, high, listener)
    posix_spawn_file_actions_addclosefrom_np(&actions, listener + 1)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | 0x80))

    var argv: [UnsafeMutablePointer<CChar>?] = (["containerd-shim-ref-v2"] + words).map { strdup($0) }
    argv.append(nil)
    defer { argv.forEach { free($0) } }
    var pid: pid_t = 0
    let result = posix_spawn(&pid, program, &actions, &attributes, argv, clinux_environ())
    if result != 0 { throw SystemError(errno: result, operation: "spawn", object: "the shim's server") }
  }
}
