import CLinux
import SystemKit

/// Conditions that tests name when they cannot run; the text is printed with the skip.
public enum Needs {
  public static let rootReason = "needs root: run the tests as root"
  public static var root: Bool { geteuid() == 0 }
}

/// A directory of its own, removed with everything in it when the owner goes away.
public final class ScratchDirectory: Sendable {
  public let path: String

  public init(_ name: String = "ref-test") {
    var template = Array("/tmp/\(name)-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { fatalError("mkdtemp \(name): \(SystemError.last("mkdtemp", name))") }
    path = String(cString: made)
  }

  deinit {
    do { try Files.removeTree(path) } catch { print("scratch directory left behind: \(error)") }
  }
}

/// Copies a program so that it can be executed at once: by another process, for a file that is open for writing here is so, for a moment, in every child that
/// another test forks meanwhile, and to execute it is then refused as busy.
public func copyProgram(_ source: String, to target: String) throws {
  let copied = try run(["/bin/cp", source, target])
  if copied.status != 0 { throw SystemError(errno: EIO, operation: "cp \(source)", object: "\(target): \(copied.output)") }
}

/// Runs a program to its end and gives what it wrote. Blocking.
public func run(_ arguments: [String], environment: [String]? = nil) throws -> (status: Int32, output: String) {
  var descriptors: [Int32] = [0, 0]
  try check("pipe2", arguments[0]) { pipe2(&descriptors, O_CLOEXEC) }
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
  posix_spawn_file_actions_adddup2(&actions, descriptors[1], 1)
  posix_spawn_file_actions_adddup2(&actions, descriptors[1], 2)
  var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
  defer { argv.forEach { free($0) } }
  var envp: [UnsafeMutablePointer<CChar>?] = (environment ?? []).map { strdup($0) } + [nil]
  defer { envp.forEach { free($0) } }
  var pid: pid_t = 0
  let failure =
    environment == nil
    ? posix_spawnp(&pid, arguments[0], &actions, nil, &argv, clinux_environ())
    : posix_spawnp(&pid, arguments[0], &actions, nil, &argv, &envp)
  close(descriptors[1])
  let reading = OwnedFD(adopting: descriptors[0])
  if failure != 0 { throw SystemError(errno: failure, operation: "spawn", object: arguments[0]) }
  let output = try Files.readAll(reading, path: arguments[0])
  var status: Int32 = 0
  try check("waitpid", arguments[0]) { waitpid(pid, &status, 0) }
  return (clinux_wifexited(status) != 0 ? clinux_wexitstatus(status) : 128 + clinux_wtermsig(status), String(decoding: output, as: UTF8.self))
}
