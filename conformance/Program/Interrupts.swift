import CLinux
import ConformanceKit
import Foundation

/// Ctrl-C and its like: the first ends the run in order, the second at once.
enum Interrupts {
  private nonisolated(unsafe) static var pipe: [Int32] = [-1, -1]  // written before the first signal can come, never after

  static func end(_ interruption: Interruption, note: @escaping @Sendable (String) -> Void) {
    guard pipe2(&pipe, O_CLOEXEC) == 0 else { return }
    let reading = pipe[0]
    // Handlers, not SIG_IGN: what is started has the default again.
    for number in [SIGINT, SIGTERM, SIGHUP] {
      signal(number) { _ in
        var word: UInt8 = 1
        _ = write(Interrupts.pipe[1], &word, 1)
      }
    }
    Thread.detachNewThread {
      var word: UInt8 = 0
      while true {
        let count = read(reading, &word, 1)
        if count < 0 && clinux_errno() == EINTR { continue }
        if count != 1 { return }
        if !interruption.set() { _exit(130) }
        note("interrupted: what has been judged is reported; once more to end at once")
      }
    }
  }
}
