import CLinux
import SystemKit

/// A container's directories, one in each hierarchy.
struct Cgroup {
  struct Directory {
    var path: String
    var controllers: [String]
    var unified: Bool
  }

  var directories: [Directory]

  init(directories: [Directory]) { self.directories = directories }

  init(path: String, hierarchies: [CgroupHierarchy]) {
    directories = hierarchies.map { Directory(path: $0.mountPoint + path, controllers: $0.controllers, unified: $0.unified) }
  }

  var unified: Directory? { directories.first(where: \.unified) }

  /// The directory whose files configure a controller.
  func directory(_ controller: String) -> Directory? { directories.first { $0.controllers.contains(controller) } }

  // MARK: making

  /// Makes the directories. One that is already there must be empty and not frozen: a container never moves in with
  /// processes that are not its own.
  func make() throws(RuntimeError) {
    var made: [String] = []
    do throws(RuntimeError) {
      for directory in directories {
        let parent = Files.parent(of: directory.path)
        try makeParents(directory, parent: parent)
        if mkdir(directory.path, 0o755) == 0 {
          made.append(directory.path)
        } else {
          guard clinux_errno() == EEXIST else { throw RuntimeError(.system, "make cgroup: \(SystemError.last("mkdir", directory.path))") }
          try refuseOccupied(directory)
        }
        if directory.controllers.contains("cpuset"), !directory.unified { try inheritCpuset(directory.path, parent: parent) }
      }
    } catch {
      made.forEach { _ = rmdir($0) }
      throw error
    }
  }

  private func makeParents(_ directory: Directory, parent: String) throws(RuntimeError) {
    try during("make cgroup") { () throws(SystemError) in try Files.makeDirectories(parent) }
    guard directory.unified || directory.controllers.contains("cpuset") else { return }
    // From the top down: a controller reaches a level only through all levels above.
    var levels: [String] = []
    var level = parent
    while level != "/", Files.exists(level + (directory.unified ? "/cgroup.subtree_control" : "/cpuset.cpus")) {
      levels.insert(level, at: 0)
      level = Files.parent(of: level)
    }
    for (index, level) in levels.enumerated() {
      if directory.unified {
        for controller in directory.controllers { CgroupFile.tryWrite("+\(controller)", level + "/cgroup.subtree_control") }
      } else if index > 0 {
        try inheritCpuset(level, parent: levels[index - 1])
      }
    }
  }

  private func inheritCpuset(_ path: String, parent: String) throws(RuntimeError) {
    for name in ["cpuset.cpus", "cpuset.mems"] where CgroupFile.text("\(path)/\(name)") == "" {
      guard let value = CgroupFile.text("\(parent)/\(name)"), !value.isEmpty else { continue }
      try CgroupFile.write(value, "\(path)/\(name)")
    }
  }

  private func refuseOccupied(_ directory: Directory) throws(RuntimeError) {
    guard Self.processes(below: directory.path).isEmpty else {
      throw RuntimeError(.invalid, "cgroup \(directory.path) is not empty: it belongs to other processes")
    }
    if CgroupFile.text(directory.path + "/freezer.state") == "FROZEN" || CgroupFile.text(directory.path + "/cgroup.freeze") == "1" {
      throw RuntimeError(.invalid, "cgroup \(directory.path) is frozen: a process put there would never run")
    }
  }

  // MARK: joining

  /// The v1 `tasks` files, open for a single-threaded child to write "0" to: moving only itself through `tasks` spares
  /// the kernel a grace period that moving a process through `cgroup.procs` costs.
  func openTasks(sub: String? = nil) throws(RuntimeError) -> [Int32] {
    var descriptors: [Int32] = []
    for directory in directories where !directory.unified {
      let path = directory.path + (sub.map { "/" + $0 } ?? "") + "/tasks"
      let fd = clinux_open(path, O_WRONLY | O_CLOEXEC, 0)
      if fd < 0 {
        let failure = SystemError.last("open", path)
        descriptors.forEach { _ = close($0) }
        throw RuntimeError(failure, doing: "join cgroup")
      }
      descriptors.append(fd)
    }
    return descriptors
  }

  /// The unified directory for CLONE_INTO_CGROUP, or -1.
  func openUnified(sub: String? = nil) throws(RuntimeError) -> Int32 {
    guard let unified else { return -1 }
    let path = unified.path + (sub.map { "/" + $0 } ?? "")
    return try during("join cgroup") { () throws(SystemError) in try Files.open(path, O_PATH | O_DIRECTORY).release() }
  }

  // MARK: processes

  /// Pids in the cgroup and below, ascending. The hierarchy with the most reliable membership is asked.
  func pids() -> [Int32] {
    guard let directory = unified ?? self.directory("pids") ?? self.directory("freezer") ?? directories.first else { return [] }
    return Self.processes(below: directory.path)
  }

  static func processes(below path: String) -> [Int32] {
    var found = Set<Int32>()
    func visit(_ path: String) {
      guard let text = CgroupFile.text(path + "/cgroup.procs") else { return }
      for line in text.split(separator: "\n") {
        if let pid = Int32(line), pid > 0 { found.insert(pid) }
      }
      for child in subdirectories(path) { visit(child) }
    }
    visit(path)
    return found.sorted()
  }

  static func subdirectories(_ path: String) -> [String] {
    guard let names = try? Files.names(in: path) else { return [] }
    return names.map { path + "/" + $0 }.filter { path in
      guard let info = try? Files.status(path) else { return false }
      return info.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR)
    }
  }

  /// Signals every process inside; each is pinned by a pidfd and looked up again before, so that a reused pid outside the
  /// cgroup is never hit.
  func signalAll(_ signal: Int32) throws(RuntimeError) {
    if signal == SIGKILL, let unified, CgroupFile.tryWrite("1", unified.path + "/cgroup.kill") { return }
    for round in 0..<(signal == SIGKILL ? 10 : 1) {
      let members = pids()
      if members.isEmpty { return }
      for pid in members {
        let descriptor = clinux_pidfd_open(pid, 0)
        if descriptor < 0 { continue }
        defer { close(descriptor) }
        guard pids().contains(pid) else { continue }
        if clinux_pidfd_send_signal(descriptor, signal) != 0, clinux_errno() != ESRCH {
          throw RuntimeError(.system, "signal \(signal) to pid \(pid): \(SystemError.last("pidfd_send_signal", "pid \(pid)"))")
        }
      }
      if round > 0 { usleep(2000) }
    }
  }

  // MARK: removing

  /// Removes the directories with what the container made below them. Processes that are just ending keep a directory
  /// busy for a moment: that is waited for, up to five seconds.
  func remove() throws(RuntimeError) {
    for directory in directories { try remove(directory.path) }
  }

  /// Removes the directories that are there and hold nothing: of a creation that came no further there are only such.
  func removeEmpty() {
    for directory in directories { _ = rmdir(directory.path) }
  }

  private func remove(_ path: String) throws(RuntimeError) {
    var delay: UInt32 = 50
    var waited: UInt32 = 0
    while rmdir(path) != 0 {
      let failure = SystemError.last("rmdir", path)
      if failure.errno == ENOENT { return }
      guard failure.errno == EBUSY, waited < 5_000_000 else { throw RuntimeError(failure, doing: "remove cgroup") }
      for child in Self.subdirectories(path) { try remove(child) }
      usleep(delay)
      waited += delay
      delay = min(delay * 2, 20_000)
    }
  }
}
