/// Kernel parameters that belong to a namespace, and only those (config-linux.md, "Sysctl").
enum Sysctl {
  private static let ipc: Set<String> = [
    "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
    "kernel/shm_rmid_forced",
  ]

  /// The path below /proc/sys. Separators may be dots or slashes; if the first is a slash, dots are part of names.
  static func path(_ name: String, linux: LinuxSpec, hasHostname: Bool) throws(RuntimeError) -> String {
    let first = name.first { $0 == "." || $0 == "/" }
    let path =
      first == "/" ? name : String(name.map { $0 == "." ? Character("/") : $0 == "/" ? Character(".") : $0 })
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count > 1, !parts.contains(".."), !parts.contains("."), !parts.contains("") else {
      throw RuntimeError(.invalid, "linux.sysctl: \"\(name)\" is not the name of a parameter")
    }
    let needed: NamespaceType
    if parts[0] == "net" {
      needed = .network
    } else if ipc.contains(path) || path.hasPrefix("fs/mqueue/") {
      needed = .ipc
    } else if path == "kernel/domainname" || path == "kernel/hostname" {
      if path == "kernel/hostname", hasHostname { throw RuntimeError(.invalid, "linux.sysctl: \"\(name)\" contradicts hostname") }
      needed = .uts
    } else if path.hasPrefix("user/") {
      needed = .user
    } else {
      throw RuntimeError(.invalid, "linux.sysctl: \"\(name)\" is not separate for a container")
    }
    guard linux.namespace(needed) != nil else {
      throw RuntimeError(.invalid, "linux.sysctl: \"\(name)\" would change the host: the container has no \(needed.rawValue) namespace of its own")
    }
    return "/proc/sys/" + path
  }
}
