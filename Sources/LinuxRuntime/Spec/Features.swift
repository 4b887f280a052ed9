/// What this runtime can do, as the specification's features structure (features.md).
public enum Features {
  public static var json: JSONValue {
    let options = [
      "async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "idmap", "iversion", "lazytime", "loud", "mand",
      "noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "nomand", "norelatime", "nostrictatime", "nosuid",
      "nosymfollow", "private", "ratime", "rbind", "rdev", "rdiratime", "relatime", "remount", "rexec", "ridmap", "rnoatime",
      "rnodev", "rnodiratime", "rnoexec", "rnorelatime", "rnostrictatime", "rnosuid", "rnosymfollow", "ro", "rprivate",
      "rrelatime", "rro", "rrw", "rshared", "rslave", "rstrictatime", "rsuid", "rsymfollow", "runbindable", "rw", "shared",
      "silent", "slave", "strictatime", "suid", "symfollow", "sync", "unbindable",
    ]
    return .record([
      ("ociVersionMin", .string("1.0.0")), ("ociVersionMax", .string("1.3.0")),
      ("hooks", .strings(["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"])),
      ("mountOptions", .strings(options)),
      (
        "linux",
        .record([
          ("namespaces", .strings(NamespaceType.allCases.map(\.rawValue).sorted())),
          ("capabilities", .strings(Capabilities.names)),
          (
            "cgroup",
            .record([
              ("v1", .bool(true)), ("v2", .bool(true)), ("systemd", .bool(false)), ("systemdUser", .bool(false)), ("rdma", .bool(false)),
            ])
          ),
          (
            "seccomp",
            .record([
              ("enabled", .bool(true)), ("actions", .strings(SeccompFilter.actionNames)), ("operators", .strings(SeccompFilter.operatorNames)),
              ("archs", .strings(SeccompFilter.architectureNames)), ("knownFlags", .strings(SeccompFilter.flagNames)),
              ("supportedFlags", .strings(SeccompFilter.flagNames)),
            ])
          ),
          ("apparmor", .record([("enabled", .bool(true))])), ("selinux", .record([("enabled", .bool(false))])),
          ("intelRdt", .record([("enabled", .bool(false))])),
          ("mountExtensions", .record([("idmap", .record([("enabled", .bool(true))]))])),
        ])
      ),
    ])
  }
}
