import ArgumentParser
import CIdle
import CLinux
import SystemKit

/// Whether a FUSE server asks for idle processors that are there at once.
struct IdleOption: ParsableArguments {
  @Flag(
    help: """
      Let idle processors halt while requests follow each other. By default they look for work meanwhile, for a fifth of the time at most for each process \
      that serves: in virtual machines with up to 8 processors, where waking one is the host's work.
      """)
  var noIdlePolling = false

  /// - Parameter log: is told when the machine would gain by it and it cannot be had.
  func apply(_ log: (String) -> Void) {
    if noIdlePolling { return }
    let failure = cidle_start()
    if failure == 0 || failure == ENOTSUP { return }
    log("idle processors halt while requests follow each other: \(SystemError(errno: failure, operation: "ask for others by", object: "/dev/cpu_dma_latency"))")
  }

  /// For another process of this program.
  var arguments: [String] { noIdlePolling ? ["--no-idle-polling"] : [] }
}
