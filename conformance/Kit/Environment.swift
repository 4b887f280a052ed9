import CLinux
import Foundation
import SystemKit

/// What this machine is, as far as results depend on it.
public enum Machine {
  /// The programs that cases may drive, and the flag that makes each say its version.
  static let tools: [(name: String, flag: String)] = [
    ("runc", "--version"), ("crun", "--version"), ("containerd", "--version"), ("fuse-overlayfs", "--version"), ("skopeo", "--version"), ("umoci", "--version"),
    ("busybox", "--help"), ("docker-registry", "--version"),
  ]

  public static func fingerprint(scratch: String) -> EnvironmentFingerprint {
    var name = utsname()
    uname(&name)
    func text<Value>(_ value: Value) -> String {
      withUnsafeBytes(of: value) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    var versions: [String: String] = [:]
    for tool in tools { if let path = find(tool.name) { versions[tool.name] = version(path, tool.flag) } }
    return EnvironmentFingerprint(
      kernel: text(name.release), architecture: text(name.machine), distribution: value("PRETTY_NAME", in: "/etc/os-release") ?? "unknown",
      cgroups: cgroups(), root: geteuid() == 0, scratchFilesystem: filesystem(of: scratch), cpus: Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))),
      memoryMiB: (Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE)))) >> 20, tools: versions)
  }

  /// Where a program is, as a shell would find it.
  public static func find(_ name: String) -> String? {
    let path =
      (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
      + ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"]
    return path.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
  }

  public static func cgroups() -> String {
    let unified = Files.exists("/sys/fs/cgroup/cgroup.controllers")
    if unified { return "v2" }
    return Files.exists("/sys/fs/cgroup/unified") ? "v1 hybrid" : Files.exists("/sys/fs/cgroup/memory") ? "v1" : "none"
  }

  public static func filesystem(of path: String) -> String {
    var status = statfs()
    var place = path
    while statfs(place, &status) != 0 && place != "/" { place = Files.parent(of: place) }
    let names: [Int: String] = [
      0xEF53: "ext4", 0x9123_683E: "btrfs", 0x0102_1994: "tmpfs", 0x5846_5342: "xfs", 0x794c_7630: "overlay", 0x6573_5546: "fuse", 0x2fc1_2fc1: "zfs",
    ]
    return names[Int(status.f_type)] ?? String(UInt64(bitPattern: Int64(status.f_type)), radix: 16)
  }

  public static func freeMiB(of path: String) -> Int {
    var status = statfs()
    return statfs(path, &status) == 0 ? (Int(status.f_bavail) * Int(status.f_bsize)) >> 20 : 0
  }

  private static func version(_ path: String, _ flag: String) -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = [flag]
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    do { try process.run() } catch { return "does not start: \(error)" }
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return String((output.split(separator: "\n").first ?? "").prefix(100))
  }

  private static func value(_ key: String, in path: String) -> String? {
    do {
      return try String(decoding: Files.read(path), as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(key + "=") }
        .map { $0.dropFirst(key.count + 1).trimmingCharacters(in: CharacterSet(charactersIn: "\"")) }
    } catch { return nil }
  }
}

extension String {
  /// RFC 3339, in UTC.
  public static var now: String { Date.now.ISO8601Format() }
  /// `2026-11-24`
  public static var today: String { String(now.prefix(10)) }
}
