import CLinux

/// A process that does one thing and is gone before we are. What it writes to its standard output is its answer; its standard errors are ours.
///
/// Its standard input is a pipe that nobody writes to and that ends when we do: then nobody waits for it any more, and it should end too.
public enum BriefProcess {
  public enum End: Sendable, Hashable {
    case exited(Int32)
    case killed(by: Int32)
    /// It had not ended in time, and was killed.
    case late
    /// It had more to say than it may, and was killed.
    case talkative
  }

  /// Starts one and waits for its end: none is left behind, whatever happens. Blocking.
  /// - Parameters:
  ///   - command: a program and its arguments.
  ///   - limit: bytes that it may say.
  public static func run(_ command: [String], deadline: Duration, limit: Int = 4 << 20) throws(SystemError) -> (end: End, output: [UInt8]) {
    let (itsInput, life) = try pipe(command[0])
    let answer: Int32, itsOutput: Int32
    do throws(SystemError) { (answer, itsOutput) = try pipe(command[0]) } catch {
      close(itsInput)
      close(life)
      throw error
    }
    let pid: pid_t
    do throws(SystemError) {
      defer {
        close(itsInput)
        close(itsOutput)
      }
      pid = try DetachedProcess.spawn(command, .descriptor(itsInput), .descriptor(itsOutput), .descriptor(2), isDetached: false)
    } catch {
      close(life)
      close(answer)
      throw error
    }
    defer {
      close(life)
      close(answer)
    }
    let end = ContinuousClock.now + deadline
    var output: [UInt8] = []
    do throws(SystemError) {
      if let reason = try listen(answer, until: end, limit, &output) {
        finish(pid)
        return (reason, output)
      }
    } catch {
      finish(pid)
      throw error
    }
    // It has said all that it has to say.
    var status: Int32 = 0
    while true {
      let dead = waitpid(pid, &status, WNOHANG)
      if dead == pid { break }
      if dead < 0, clinux_errno() != EINTR { throw SystemError.last("waitpid", command[0]) }
      if ContinuousClock.now > end {
        finish(pid)
        return (.late, output)
      }
      usleep(1000)
    }
    return (clinux_wifsignaled(status) != 0 ? .killed(by: clinux_wtermsig(status)) : .exited(clinux_wexitstatus(status)), output)
  }

  private static func finish(_ pid: pid_t) {
    kill(pid, SIGKILL)
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, clinux_errno() == EINTR {}
  }

  /// The ends for reading and for writing.
  private static func pipe(_ program: String) throws(SystemError) -> (Int32, Int32) {
    var ends: [Int32] = [-1, -1]
    try check("pipe2", program) { clinux_pipe(&ends) }
    return (ends[0], ends[1])
  }

  /// - Returns: why it is to be killed; nil if it has closed its standard output.
  private static func listen(_ answer: Int32, until end: ContinuousClock.Instant, _ limit: Int, _ output: inout [UInt8]) throws(SystemError) -> End? {
    var part = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let left = (end - .now) / .milliseconds(1)
      if left <= 0 { return .late }
      var entry = pollfd(fd: answer, events: Int16(POLLIN), revents: 0)
      if try check("poll", "a child's answer", { poll(&entry, 1, Int32(min(left.rounded(.up), 1e9))) }) == 0 { continue }
      let count = try check("read", "a child's answer") { part.withUnsafeMutableBytes { read(answer, $0.baseAddress, $0.count) } }
      if count == 0 { return nil }
      output += part[..<count]
      if output.count > limit { return .talkative }
    }
  }
}
