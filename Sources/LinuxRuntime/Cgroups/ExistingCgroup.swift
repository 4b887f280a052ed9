import CLinux
import SystemKit

/// A cgroup that somebody else made and keeps: where a shim is told to live.
public enum ExistingCgroup {
  /// Moves a process, with all its threads, into the cgroup in every hierarchy that has it; it is an error if none has.
  public static func join(_ path: String, pid: Int32) throws(SystemError) {
    let components = path.split(separator: "/")
    guard !components.isEmpty, !components.contains(".."), !components.contains(".") else {
      throw SystemError(errno: EINVAL, operation: "join cgroup", object: path)
    }
    var joined = false
    for hierarchy in (try? CgroupLayout.detect()) ?? [] {
      let directory = hierarchy.mountPoint + "/" + components.joined(separator: "/")
      guard Files.exists(directory) else { continue }
      try CgroupFile.put(String(pid), directory + "/cgroup.procs")
      joined = true
    }
    guard joined else { throw SystemError(errno: ENOENT, operation: "join cgroup", object: path) }
  }
}
