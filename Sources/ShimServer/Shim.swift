import CLinux
import LinuxRuntime

/// The program. Nothing is ever written to standard error: a daemon reads it together with the address.
public enum Shim {
  public static let version = "0.1.0"

  /// Gives the exit status.
  public static func main(_ words: [String]) -> Int32 {
    guard var arguments = ShimArguments(words) else { return fail("the command line is not understood") }
    if arguments.version {
      Output.write(Array("containerd-shim-ref-v2:\n  Version: \(version)\n".utf8))
      return 0
    }
    if arguments.info {
      do throws(ServiceError) { try InfoCommand.run() } catch { return fail(error.message) }
      return 0
    }
    guard !arguments.namespace.isEmpty, isName(arguments.namespace) else { return fail("-namespace is missing or no name") }
    guard !arguments.id.isEmpty, isName(arguments.id) else { return fail("-id is missing or no name") }
    if arguments.bundle.isEmpty { arguments.bundle = workingDirectory() }
    do throws(ServiceError) {
      switch arguments.action {
      case "start": try StartCommand.run(arguments)
      case "delete": try DeleteCommand.run(arguments)
      case StartCommand.serverAction:
        RunningProgram.seal()
        try Server(arguments).run()
      default: return fail("no such command: \"\(arguments.action)\"")
      }
      return 0
    } catch {
      return fail(error.message)
    }
  }

  /// Standard output: the daemon shows it when the status is not 0.
  private static func fail(_ message: String) -> Int32 {
    Output.write(Array("containerd-shim-ref-v2: \(message)\n".utf8))
    return 1
  }

  /// Names become parts of paths.
  private static func isName(_ text: String) -> Bool { text != "." && text != ".." && !text.contains("/") && !text.utf8.contains(0) }

  private static func workingDirectory() -> String {
    guard let path = getcwd(nil, 0) else { return "." }
    defer { free(path) }
    return String(cString: path)
  }
}
