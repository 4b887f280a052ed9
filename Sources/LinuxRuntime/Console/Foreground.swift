import CLinux
import SystemKit

/// Staying with a process until it ends: signals are handed on and its terminal is joined to ours.
public final class Foreground {
  private static let forwarded: [Int32] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH]
  private let signals: OwnedFD

  /// Call before the process is made: from here on signals wait to be handed on.
  public init() throws(RuntimeError) {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in Self.forwarded + [SIGCHLD] { sigaddset(&set, signal) }
    sigprocmask(SIG_BLOCK, &set, nil)
    signals = try during("watch signals") { () throws(SystemError) in
      OwnedFD(adopting: try check("signalfd", "self") { signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK)) })
    }
  }

  /// Gives the exit status as a shell has it: 128 + number for a signal. Closes the terminal's master side.
  public func wait(for pid: Int32, ttyMaster: Int32?) throws(RuntimeError) -> Int32 {
    var before = termios()
    let raw = ttyMaster != nil && tcgetattr(0, &before) == 0
    if raw {
      var changed = before
      cfmakeraw(&changed)
      tcsetattr(0, TCSANOW, &changed)
    }
    defer { if raw { tcsetattr(0, TCSANOW, &before) } }
    if let ttyMaster { copySize(to: ttyMaster) }
    var readsInput = ttyMaster != nil
    var readsOutput = ttyMaster != nil
    var status: Int32?
    while true {
      if status == nil { status = reap(pid) }
      if let status, !readsOutput {
        if let ttyMaster { close(ttyMaster) }
        return status
      }
      var watched = [pollfd(fd: signals.raw, events: Int16(POLLIN), revents: 0)]
      watched.append(pollfd(fd: readsInput ? 0 : -1, events: Int16(POLLIN), revents: 0))
      watched.append(pollfd(fd: readsOutput ? ttyMaster! : -1, events: Int16(POLLIN), revents: 0))
      // After the end only what is already in the terminal is fetched.
      let ready = poll(&watched, 3, status == nil ? -1 : 100)
      if ready == 0 { readsOutput = false }
      if watched[0].revents != 0 { forward(to: pid, ended: status != nil, ttyMaster: ttyMaster) }
      if let ttyMaster, watched[1].revents != 0, !Self.copy(from: 0, to: ttyMaster) { readsInput = false }
      if let ttyMaster, watched[2].revents != 0, !Self.copy(from: ttyMaster, to: 1) { readsOutput = false }
    }
  }

  private func reap(_ pid: Int32) -> Int32? {
    var raw: Int32 = 0
    guard waitpid(pid, &raw, WNOHANG) == pid else { return nil }
    return clinux_wifexited(raw) != 0 ? clinux_wexitstatus(raw) : 128 + clinux_wtermsig(raw)
  }

  private func forward(to pid: Int32, ended: Bool, ttyMaster: Int32?) {
    var info = signalfd_siginfo()
    while read(signals.raw, &info, MemoryLayout<signalfd_siginfo>.size) > 0 {
      let signal = Int32(info.ssi_signo)
      if signal == SIGCHLD || ended { continue }
      if signal == SIGWINCH, let ttyMaster { copySize(to: ttyMaster) } else { CLinux.kill(pid, signal) }
    }
  }

  private func copySize(to master: Int32) {
    var size = winsize()
    if clinux_ioctl(0, UInt(TIOCGWINSZ), &size) == 0 { _ = clinux_ioctl(master, UInt(TIOCSWINSZ), &size) }
  }

  /// False at the end.
  private static func copy(from: Int32, to: Int32) -> Bool {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = read(from, &buffer, buffer.count)
    if count <= 0 { return count < 0 && clinux_errno() == EINTR }
    var done = 0
    while done < count {
      let written = buffer.withUnsafeBytes { write(to, $0.baseAddress! + done, count - done) }
      if written < 0, clinux_errno() != EINTR { return false }
      done += max(written, 0)
    }
    return true
  }
}
