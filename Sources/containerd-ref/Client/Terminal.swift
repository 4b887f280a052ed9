import CLinux
import Protocols
import Synchronization
import SystemKit

/// The terminal that this program was started from.
enum Terminal {
  struct Size: Hashable, Sendable {
    var columns: Int
    var rows: Int
  }

  static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// Nil if the descriptor is no terminal, or one that does not know its size.
  static func size(_ descriptor: Int32) -> Size? {
    var size = winsize()
    guard clinux_ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
    return Size(columns: Int(size.ws_col), rows: Int(size.ws_row))
  }

  /// Hands every key on as it is typed, until restored.
  final class Raw: Sendable {
    private let before: Mutex<termios?>

    init() throws {
      var settings = termios()
      try check("tcgetattr", "standard input") { tcgetattr(0, &settings) }
      before = Mutex(settings)
      cfmakeraw(&settings)
      try check("tcsetattr", "standard input") { tcsetattr(0, TCSANOW, &settings) }
    }

    func restore() {
      before.withLock { settings in
        // If the terminal is gone there is nothing to restore.
        if var old = settings { tcsetattr(0, TCSANOW, &old) }
        settings = nil
      }
    }
  }
}
