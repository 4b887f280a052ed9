import CLinux
import Synchronization

/// A place between two steps that must survive a crash, named so that a test can kill the process exactly there.
///
/// In a debug build, a process started with `REF_CRASH_AT=NAME` in its environment kills itself (SIGKILL) when it gets there, the N-th
/// time with `NAME#N`. In a release build this is nothing at all.
public enum CrashPoint {
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

      static func pass(_ name: String) {
        guard let place = wanted.first, place == name else { return }
        let number = passes.add(1, ordering: .relaxed).newValue
        if number == (wanted.count > 1 ? Int(wanted[1]) ?? 1 : 1) { kill(getpid(), SIGKILL) }
      }
    }
  #endif
}
