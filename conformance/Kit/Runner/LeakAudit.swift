import CLinux
import SystemKit

/// What a case can leave behind on a machine, and how it is found.
enum LeakAudit {
  /// Every process that has this mark in its environment was started, directly or not, by the worker of the case.
  static let mark = "CONFORMANCE_CASE="

  /// Processes of the case that outlived its worker. Ends them, and waits for those that became children of this process.
  static func endProcesses(of directory: String) -> [String] {
    var found: [String] = []
    for pid in processes() where pid != getpid() {
      guard environment(of: pid).contains(mark + directory) else { continue }
      found.append("process \(pid) (\(commandLine(of: pid))) outlived the case")
      kill(pid, SIGKILL)
      for _ in 0..<100 {
        var status: Int32 = 0
        if waitpid(pid, &status, WNOHANG) != 0 { break }
        usleep(10_000)
      }
    }
    return found
  }

  /// Mounts in this process's namespace, and loop devices, that lie in the directory.
  static func devices(below directory: String) -> [String] {
    var found = lines(of: "/proc/self/mountinfo").compactMap { line -> String? in
      let words = line.split(separator: " ")
      return words.count > 4 && words[4].hasPrefix(directory) ? "mount at \(words[4]) left in the host's namespace" : nil
    }
    for (name, file) in loops() where file.hasPrefix(directory) { found.append("loop device \(name) still holds \(file)") }
    return found
  }

  /// What the whole machine has, to be compared before and after a run.
  struct Machine {
    var cgroups: Set<String>
    var loops: Set<String>
    var mounts: Set<String>

    static func now() -> Machine {
      Machine(
        cgroups: LeakAudit.cgroups(), loops: Set(LeakAudit.loops().map { "\($0.name) of \($0.file)" }),
        mounts: Set(LeakAudit.lines(of: "/proc/self/mountinfo").compactMap { $0.split(separator: " ").dropFirst(4).first.map(String.init) }))
    }

    /// What is there more than before and has this run's mark in its name: whatever else appears meanwhile, other programs on the machine have made.
    func leaks(since before: Machine) -> [String] {
      let all =
        cgroups.subtracting(before.cgroups).sorted().map { "cgroup \($0) was left" }
        + loops.subtracting(before.loops).sorted().map { "loop device \($0) was left" }
        + mounts.subtracting(before.mounts).sorted().map { "mount at \($0) was left" }
      return all.filter { Leftovers.areOurs($0, of: getpid()) }
    }
  }

  private static func processes() -> [pid_t] {
    do { return try Files.names(in: "/proc").compactMap { pid_t($0) } } catch { return [] }
  }

  private static func environment(of pid: pid_t) -> [String] {
    // A process that ends meanwhile has none.
    do { return try Files.read("/proc/\(pid)/environ").split(separator: 0).map { String(decoding: $0, as: UTF8.self) } } catch { return [] }
  }

  static func commandLine(of pid: pid_t) -> String {
    do {
      return try Files.read("/proc/\(pid)/cmdline").split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
    } catch { return "gone" }
  }

  private static func lines(of path: String) -> [Substring] {
    do { return String(decoding: try Files.read(path), as: UTF8.self).split(separator: "\n") } catch { return [] }
  }

  private static func loops() -> [(name: String, file: String)] {
    do {
      return try Files.names(in: "/sys/block").filter { $0.hasPrefix("loop") }.compactMap { name in
        lines(of: "/sys/block/\(name)/loop/backing_file").first.map { (name, String($0)) }
      }
    } catch { return [] }
  }

  /// Directories at most two levels below each hierarchy: where runtimes put theirs.
  private static func cgroups() -> Set<String> {
    var found: Set<String> = []
    func look(_ path: String, _ depth: Int) {
      let names: [String]
      do { names = try Files.names(in: path) } catch { return }
      for name in names {
        let child = "\(path)/\(name)"
        var status = stat()
        guard lstat(child, &status) == 0, status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR) else { continue }
        found.insert(child)
        if depth < 3 { look(child, depth + 1) }
      }
    }
    look("/sys/fs/cgroup", 0)
    return found
  }
}
