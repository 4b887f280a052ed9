import CLinux
import SystemKit

/// What a worker, or a whole run, has left on the machine that was killed: its cases could not undo anything.
///
/// Everything that cases make outside of their directory has a name that begins with the mark of its maker, `conformance-RUN-WORKER`. What carries
/// the mark of another run is never touched.
public struct Leftovers: Sendable {
  /// `conformance-RUN` or `conformance-RUN-WORKER`.
  let mark: String
  /// Where the cases worked; nothing outside of it but by the mark.
  let directory: String

  public init(mark: String, directory: String) {
    self.mark = mark
    self.directory = directory
  }

  /// The pid of the runner is part of the name of everything that is made in its run.
  public static func mark(run: pid_t, worker: pid_t? = nil) -> String { "conformance-\(run)" + (worker.map { "-\($0)" } ?? "") }

  /// Whether a text names something that a run has made.
  static func areOurs(_ text: String, of run: pid_t) -> Bool {
    text.split(whereSeparator: { $0 == "/" || $0 == " " }).contains { piece in
      guard let start = piece.firstRange(of: "conformance-") else { return false }
      let words = piece[start.lowerBound...].split(separator: "-")
      // The directory of a run is called conformance-run-RUN-SEED; what is made elsewhere conformance-RUN-WORKER-….
      return words.count > 2 && pid_t(words[1] == "run" ? words[2] : words[1]) == run
    }
  }

  /// Ends and removes it all, the directory itself excepted. Blocking. What resists is left for the next audit to tell.
  public func remove() {
    let groups = cgroups()
    for group in groups { Self.thaw(group) }
    // A program that is just being started may show itself a moment later.
    var quiet = 0
    for _ in 0..<100 where quiet < 3 {
      let left = processes()
      quiet = left.isEmpty ? quiet + 1 : 0
      for pid in left { kill(pid, SIGKILL) }
      for pid in left { waitpid(pid, nil, WNOHANG) }
      usleep(10_000)
    }
    for place in mounts().reversed() { umount2(place, Int32(MNT_DETACH)) }
    for group in cgroups() { Self.removeGroup(group) }
    for place in ["/tmp", "/run/containerd/runc"] {
      for name in names(in: place) where isOurs(name) {
        // Something still writes there: it is the machine's to clean up.
        try? Files.removeTree("\(place)/\(name)")
      }
    }
  }

  private func isOurs(_ name: String) -> Bool { name == mark || name.hasPrefix(mark + "-") }

  /// Programs in containers know neither our environment nor our directory by name; their cgroup or their root tells whose they are.
  private func processes() -> [pid_t] {
    names(in: "/proc").compactMap { pid_t($0) }.filter { pid in
      guard pid != getpid(), pid > 1 else { return false }
      if text("/proc/\(pid)/environ").split(separator: "\0").contains(where: { isBelow($0.dropFirst(LeakAudit.mark.count)) && $0.hasPrefix(LeakAudit.mark) }) {
        return !isZombie(pid)
      }
      if text("/proc/\(pid)/cgroup").split(whereSeparator: { $0 == "/" || $0 == "\n" }).contains(where: { isOurs(String($0)) }) { return !isZombie(pid) }
      // A runtime that has no cgroup yet, and an environment of its own: its arguments lie in the directory, and nobody waits for it any more.
      if isNamed(pid), let parent = parent(of: pid), parent == 1 || parent == getpid() || isNamed(parent) { return !isZombie(pid) }
      // Only what is mounted as its root: other mounts may be the host's.
      let root = text("/proc/\(pid)/mountinfo").split(separator: "\n").map { $0.split(separator: " ") }.last { $0.count > 4 && $0[4] == "/" }
      return root.map { isBelow($0[3]) } ?? false && !isZombie(pid)
    }
  }

  private func isNamed(_ pid: pid_t) -> Bool { pid != getpid() && text("/proc/\(pid)/cmdline").split(separator: "\0").contains { isBelow($0) } }

  private func parent(of pid: pid_t) -> pid_t? {
    // `pid (name) state parent …`, and a name may hold anything.
    text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ").dropFirst().first.flatMap { pid_t($0) }
  }

  private func isBelow(_ path: some StringProtocol) -> Bool { path == directory || path.hasPrefix(directory + "/") }

  private func isZombie(_ pid: pid_t) -> Bool { text("/proc/\(pid)/stat").split(separator: ")").last?.hasPrefix(" Z") ?? true }

  private func mounts() -> [String] {
    text("/proc/self/mountinfo").split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      return words.count > 4 && isBelow(words[4]) ? String(words[4]) : nil
    }
  }

  /// Of every hierarchy: runtimes and shims put theirs at the top.
  private func cgroups() -> [String] {
    ([""] + names(in: "/sys/fs/cgroup")).map { "/sys/fs/cgroup/\($0)" }.flatMap { place in names(in: place).filter(isOurs).map { "\(place)/\($0)" } }
  }

  private static func children(of group: String) -> [String] {
    // One that is gone has none.
    ((try? Files.names(in: group)) ?? []).map { "\(group)/\($0)" }.filter { path in
      var status = stat()
      return lstat(path, &status) == 0 && status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR)
    }
  }

  private static func thaw(_ group: String) {
    for (file, word) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
      guard let open = try? Files.open("\(group)/\(file)", O_WRONLY) else { continue }  // not in this hierarchy
      _ = CLinux.write(open.raw, word, word.utf8.count)
    }
    for child in children(of: group) { thaw(child) }
  }

  private static func removeGroup(_ group: String) {
    for child in children(of: group) { removeGroup(child) }
    for _ in 0..<100 where rmdir(group) != 0 && clinux_errno() == EBUSY { usleep(10_000) }
  }

  private func names(in place: String) -> [String] { (try? Files.names(in: place)) ?? [] }  // not every place is there, or readable

  private func text(_ path: String) -> String { (try? Files.read(path)).map { String(decoding: $0, as: UTF8.self) } ?? "" }  // ended meanwhile
}
