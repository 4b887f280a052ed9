import SystemKit

/// One mounted cgroup hierarchy.
struct CgroupHierarchy: Hashable, Sendable {
  var mountPoint: String
  /// v1: the controllers and "name=…"; unified: the controllers its root offers.
  var controllers: [String]
  var unified: Bool
}

/// The hierarchies of this host: v1, hybrid or pure v2, as mountinfo says.
enum CgroupLayout {
  private static let known: Set<String> = [
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls", "net_prio",
    "perf_event", "rdma", "misc",
  ]

  static func detect() throws(RuntimeError) -> [CgroupHierarchy] {
    let bytes = try during("find the cgroup hierarchies") { () throws(SystemError) in try Files.read("/proc/self/mountinfo") }
    var found = parse(String(decoding: bytes, as: UTF8.self))
    for index in found.indices where found[index].unified {
      let path = found[index].mountPoint + "/cgroup.controllers"
      let names = try during("read the unified controllers") { () throws(SystemError) in try Files.read(path) }
      found[index].controllers = String(decoding: names, as: UTF8.self).split { $0 == " " || $0 == "\n" }.map(String.init)
    }
    guard !found.isEmpty else { throw RuntimeError(.system, "no cgroup hierarchy is mounted") }
    return found
  }

  /// Mounts of cgroup file systems in the text of mountinfo; of one hierarchy mounted twice the first counts.
  static func parse(_ mountinfo: String) -> [CgroupHierarchy] {
    var found: [CgroupHierarchy] = []
    for line in mountinfo.split(separator: "\n") {
      let halves = line.split(separator: " - ", maxSplits: 1)
      guard halves.count == 2 else { continue }
      let mount = halves[0].split(separator: " ")
      let file = halves[1].split(separator: " ")
      guard mount.count >= 5, file.count >= 3 else { continue }
      if file[0] == "cgroup2" {
        if found.contains(where: \.unified) { continue }
        found.append(CgroupHierarchy(mountPoint: unescape(mount[4]), controllers: [], unified: true))
      } else if file[0] == "cgroup" {
        let controllers = file[2].split(separator: ",").map(String.init).filter { known.contains($0) || $0.hasPrefix("name=") }
        if controllers.isEmpty || found.contains(where: { $0.controllers == controllers && !$0.unified }) { continue }
        found.append(CgroupHierarchy(mountPoint: unescape(mount[4]), controllers: controllers, unified: false))
      }
    }
    return found
  }

  private static func unescape(_ text: Substring) -> String {
    var out: [UInt8] = []
    let bytes = Array(text.utf8)
    var at = 0
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "\\"), at + 3 < bytes.count, let code = UInt8(String(decoding: bytes[at + 1...at + 3], as: UTF8.self), radix: 8) {
        out.append(code)
        at += 4
      } else {
        out.append(bytes[at])
        at += 1
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
