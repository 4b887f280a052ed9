import CLinux
import CUnion
import Protocols
import SystemKit

/// Holds what a union's server needs, its FUSE device and its memory, and starts a server whenever one was killed: who uses the mount notices a pause.
///
/// A process is for one of these and nothing else. Calls block.
public struct UnionKeeper {
  /// A server that crashes sooner than this, in seconds, has not been of use.
  private static let young = 1
  /// So many of these one after another, and the mount is given up: who uses it is told ENOTCONN.
  private static let mostCrashes = 10

  private let target: String
  private let command: [String]
  private let log: @Sendable (String) -> Void

  /// - Parameter command: starts a server, which finds the device as its descriptor 3 and the memory as 4 (`UnionMount.init(serving:…)`).
  public init(at target: String, command: [String], log: @escaping @Sendable (String) -> Void) {
    self.target = target
    self.command = command
    self.log = log
  }

  /// Mounts, and returns when the mount is gone. A first server that cannot begin has written why to our standard output, which is closed once it has begun.
  /// - Returns: the status for the end of this process.
  public func run() throws(ContainerdError) -> Int32 {
    let memory = cunion_state()
    if memory < 0 { throw ContainerdError(.resourceExhausted, "\(target): \(SystemError.last("memfd_create", "a union's memory"))") }
    let state = OwnedFD(adopting: memory)
    let device = OwnedFD(adopting: try UnionMount.mountDevice(target))
    var output = DetachedProcess.Stream.descriptor(1)
    var crashes = 0
    while true {
      let began = Self.seconds()
      let status: Int32
      do throws(SystemError) {
        let pid = try DetachedProcess.start(
          command, input: .path("/dev/null", O_RDONLY), output: output, errors: .descriptor(2), passing: [device.raw, state.raw])
        if case .descriptor = output {
          close(1)
          // Takes its number, so that nothing else does.
          _ = try Files.open("/dev/null", O_WRONLY).release()
          output = .path("/dev/null", O_WRONLY)
        }
        status = try Self.wait(pid)
      } catch {
        giveUp()
        throw ContainerdError(.unknown, "\(target): \(error)")
      }
      if clinux_wifexited(status) != 0 {
        if clinux_wexitstatus(status) != 0 { giveUp() }
        return clinux_wexitstatus(status)
      }
      let signal = clinux_wtermsig(status)
      crashes = signal != SIGKILL && Self.seconds() - began < Self.young ? crashes + 1 : 0
      if crashes == Self.mostCrashes {
        log("\(target): its server crashes again and again (signal \(signal)): it is given up")
        giveUp()
        return 1
      }
      log("\(target): its server was ended by signal \(signal); another goes on")
    }
  }

  private func giveUp() { _ = umount2(target, Int32(MNT_DETACH)) }

  private static func seconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec
  }

  /// Until a server ends. One that was killed may not be able to die: a thread of it reads a lower file in the kernel, and waits for a registry. When its first
  /// thread is gone nothing of it answers any more.
  private static func wait(_ pid: pid_t) throws(SystemError) -> Int32 {
    // PIDFD_THREAD (linux/pidfd.h, Linux 6.9): tells when its first thread ends. An older kernel tells when all of them have.
    var raw = clinux_pidfd_open(pid, 0o200)
    if raw < 0 { raw = try check("pidfd_open", "process \(pid)") { clinux_pidfd_open(pid, 0) } }
    let watch = OwnedFD(adopting: raw)
    var waiting = pollfd(fd: watch.raw, events: Int16(POLLIN), revents: 0)
    while poll(&waiting, 1, -1) < 0, clinux_errno() == EINTR {}
    var status: Int32 = 0
    // As a rule the others are gone with it. One that still takes a request from the device would have it after the successor has asked for all of them.
    for _ in 0..<100 {
      // Those before it too, whose last thread has come back since.
      while true {
        let ended = waitpid(-1, &status, WNOHANG)
        if ended == pid { return status }
        if ended <= 0 { break }
      }
      usleep(1000)
    }
    return SIGKILL
  }
}
