import CLinux
import Synchronization

/// A place between two steps that must survive a crash, named so that a test can kill the process exactly there.
///
/// In a debug build, a process started with `REF_CRASH_AT=NAME` in its environment kills itself (SIGKILL) when it gets there, the N-th
/// time with `NAME#N`; `*#N` is the N-th place of all. With `REF_CRASH_LOG=FILE` it writes the name of every place that it passes into
/// the file, a line each: what there is to be killed at. In a release build this is nothing at all.
public enum CrashPoint {
  /// Whether this build has them.
  public static var isCompiledIn: Bool {
    #if DEBUG
      true
    #else
      false
    #endif
  }

  @inline(__always)
  public static func pass(_ name: StaticString) {
    #if DEBUG
      Armed.pass(name.description)
    #endif
  }

  #if DEBUG
    private enum Armed {
      static let wanted: [Substring] = getenv("REF_CRASH_AT").map { String(cString: $0).split(separator: "#") } ?? []
      static let passes = Atomic<Int>(0)
      /// Open for as long as the process lives; negative where nobody asked.
      static let log = getenv("REF_CRASH_LOG").map { clinux_open($0, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600) } ?? -1

      static func pass(_ name: String) {
        if log >= 0 {
          let line = Array("\(name)\n".utf8)
          // A line that is not written is a place that the test does not learn of: nothing that this process could do about it.
          _ = write(log, line, line.count)
        }
        guard let place = wanted.first, place == name || place == "*" else { return }
        let number = passes.add(1, ordering: .relaxed).newValue
        if number == (wanted.count > 1 ? Int(wanted[1]) ?? 1 : 1) { kill(getpid(), SIGKILL) }
      }
    }
  #endif
}
