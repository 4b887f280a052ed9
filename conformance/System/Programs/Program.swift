import CLinux
import ConformanceSuites
import Foundation
import SystemKit

/// A program run as a child: its words, environment, directory and where its streams lead. Blocking: for threads of our own.
struct Program: Sendable {
  var words: [String]
  var environment: [String] = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"]
  var directory: String?
  var stdin = "/dev/null"
  var stdout = "/dev/null"
  var stderr = "/dev/null"
  /// A file that the child finds open as this descriptor.
  var extra: (descriptor: Int32, path: String)?

  /// Starts it in a process group of its own, with nothing inherited but its streams.
  func spawn() throws -> Int32 {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, stdin, O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, stdout, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    if stderr == stdout {
      posix_spawn_file_actions_adddup2(&actions, 1, 2)
    } else {
      posix_spawn_file_actions_addopen(&actions, 2, stderr, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    }
    posix_spawn_file_actions_addclosefrom_np(&actions, 3)
    if let extra { posix_spawn_file_actions_addopen(&actions, extra.descriptor, extra.path, O_RDONLY, 0) }
    if let directory { posix_spawn_file_actions_addchdir_np(&actions, directory) }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
    var pid: pid_t = 0
    let name = words.first ?? ""
    let failure = Self.withPointers(words) { words in
      Self.withPointers(environment) { environment in posix_spawnp(&pid, name, &actions, &attributes, words, environment) }
    }
    if failure != 0 { throw SuiteError("running \(words.first ?? "nothing"): \(SystemError(errno: failure, operation: "spawn", object: "it").reason)") }
    return pid
  }

  private static func withPointers<Value>(_ texts: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Value) -> Value {
    var pointers: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { preconditionFailure("an array with an end mark is not empty") }
      return body(base)
    }
  }

  /// The line of shell that does the same.
  var shell: String {
    var line = words.map(Self.quoted).joined(separator: " ")
    if stdin != "/dev/null" { line += " <" + Self.quoted(stdin) }
    if stdout != "/dev/null" { line += " >>" + Self.quoted(stdout) }
    if stderr != "/dev/null", stderr != stdout { line += " 2>>" + Self.quoted(stderr) }
    return directory.map { "(cd \(Self.quoted($0)) && \(line))" } ?? line
  }

  static func quoted(_ word: String) -> String {
    if !word.isEmpty, word.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "_-./:=,+@%".contains($0)) }) { return word }
    return "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
  }
}

/// Children, their ends, and what they leave.
enum Children {
  /// How a child ended: its code, or 128 and its signal. nil if it still runs when the time is over.
  static func end(of pid: Int32, within seconds: Double) throws -> Int32? {
    let descriptor = clinux_pidfd_open(pid, 0)
    if descriptor >= 0 {
      let owned = OwnedFD(adopting: descriptor)
      var query = pollfd(fd: owned.raw, events: Int16(POLLIN), revents: 0)
      let deadline = ContinuousClock.now + .seconds(seconds)
      while true {
        let left = ContinuousClock.now.duration(to: deadline).components
        let milliseconds = max(0, left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000)
        let count = poll(&query, 1, Int32(clamping: milliseconds))
        if count > 0 { break }
        if count == 0 { return nil }
        if clinux_errno() != EINTR { throw SuiteError("\(SystemError.last("poll", "pid \(pid)"))") }
      }
    }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 {
      if clinux_errno() == EINTR { continue }
      throw SuiteError("\(SystemError.last("waitpid", "pid \(pid)"))")
    }
    return clinux_wifexited(status) != 0 ? clinux_wexitstatus(status) : 128 + clinux_wtermsig(status)
  }

  /// The children of this process, those included that were left to it by children that ended.
  static func all() -> Set<Int32> {
    var found: Set<Int32> = []
    // A thread that is gone by now has no children any more.
    for task in (try? Files.names(in: "/proc/self/task")) ?? [] {
      guard let text = try? Files.read("/proc/self/task/\(task)/children") else { continue }
      found.formUnion(String(decoding: text, as: UTF8.self).split(separator: " ").compactMap { Int32($0) })
    }
    return found
  }

  /// Processes that their parents leave become ours, so that we learn how they end.
  static func adoptOrphans() { _ = clinux_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

  /// Ends every child that is not among those that were there before, and theirs, which become ours.
  static func endAll(but before: Set<Int32>) {
    for _ in 0..<20 {
      let left = all().subtracting(before)
      if left.isEmpty { return }
      for pid in left {
        kill(pid, SIGKILL)
        kill(pid, SIGCONT)
      }
      for pid in left { _ = try? end(of: pid, within: 2) }  // what does not end is for the audit
    }
  }

  /// A process and what it started: `spawn` gives each a group of its own.
  static func killGroup(_ pid: Int32) { kill(-pid, SIGKILL) }

  static func lives(_ pid: Int32) -> Bool {
    guard let status = try? Files.read("/proc/\(pid)/stat") else { return false }  // no such process
    return !(String(decoding: status, as: UTF8.self).split(separator: ")").last?.hasPrefix(" Z") ?? true)
  }
}

/// The text of a file; empty where there is none.
func contents(_ path: String) -> String { (try? Files.read(path)).map { String(decoding: $0, as: UTF8.self) } ?? "" }

func write(_ text: String, to path: String, mode: mode_t = 0o644) throws {
  do {
    let file = try Files.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
    var copy = text
    try copy.withUTF8 { try Files.writeAll(UnsafeRawBufferPointer($0), to: file, path: path) }
  } catch { throw SuiteError("\(error)") }
}

/// Waits until the body says so, at most so long.
func waitUntil(within seconds: Double, _ body: () throws -> Bool) rethrows -> Bool {
  let deadline = ContinuousClock.now + .seconds(seconds)
  while true {
    if try body() { return true }
    if ContinuousClock.now >= deadline { return false }
    usleep(5_000)
  }
}
