/// The configuration that `spec` writes: a shell in a full set of namespaces, as runc's.
public enum DefaultSpec {
  private static func mount(_ destination: String, _ type: String, _ source: String, _ options: [String]) -> JSONValue {
    .record([("destination", .string(destination)), ("type", .string(type)), ("source", .string(source)), ("options", .strings(options))])
  }

  public static var json: JSONValue {
    let capabilities = JSONValue.strings(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"])
    let process = JSONValue.record([
      ("terminal", .bool(true)), ("user", .record([("uid", .integer(0)), ("gid", .integer(0))])), ("args", .strings(["sh"])),
      ("env", .strings(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"])), ("cwd", .string("/")),
      ("capabilities", .record([("bounding", capabilities), ("effective", capabilities), ("permitted", capabilities)])),
      ("rlimits", .array([.record([("type", .string("RLIMIT_NOFILE")), ("hard", .integer(1024)), ("soft", .integer(1024))])])),
      ("noNewPrivileges", .bool(true)),
    ])
    let mounts: [JSONValue] = [
      .record([("destination", .string("/proc")), ("type", .string("proc")), ("source", .string("proc"))]),
      mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      mount("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
      mount("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
      mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
      mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"].map { JSONValue.record([("type", .string($0))]) }
    return .record([
      ("ociVersion", .string("1.2.0")), ("process", process),
      ("root", .record([("path", .string("rootfs")), ("readonly", .bool(true))])), ("hostname", .string("refrun")),
      ("mounts", .array(mounts)),
      (
        "linux",
        .record([
          ("resources", .record([("devices", .array([.record([("allow", .bool(false)), ("access", .string("rwm"))])]))])),
          ("namespaces", .array(namespaces)),
          (
            "maskedPaths",
            .strings([
              "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
              "/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi", "/proc/interrupts",
            ])
          ),
          ("readonlyPaths", .strings(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"])),
        ])
      ),
    ])
  }
}
