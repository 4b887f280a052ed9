import CInit
import CLinux
import SystemKit

/// Handing a terminal to somebody who listens on a stream socket, as runc's --console-socket has it.
public enum ConsoleSocket {
  /// Sends the master side; the caller still owns its copy.
  public static func send(_ master: Int32, to path: String) throws(RuntimeError) {
    let connection = cinit_connect_stream(path)
    guard connection >= 0 else {
      throw RuntimeError(SystemError(errno: -connection, operation: "connect", object: path), doing: "send the terminal")
    }
    let socket = OwnedFD(adopting: connection)
    let result = cinit_send_fd(socket.raw, master, "/dev/ptmx")
    if result < 0 { throw RuntimeError(SystemError(errno: -result, operation: "sendmsg", object: path), doing: "send the terminal") }
  }
}

/// The program that is running.
public enum RunningProgram {
  /// Goes on from a detached read-only mount of its own file, so that no container can write to it through /proc.
  /// Returns when that is done, or not possible: then the program runs as it is.
  public static func seal() { _ = cinit_seal_self(CommandLine.unsafeArgv) }
}
