import ConformanceSuites
import Foundation
import SystemKit

extension OCIRuntimeSuite {
  private static func status(_ field: String) -> String { "grep '^\(field):' /proc/self/status | tr -s '\\t ' ' '" }

  static let processes: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "config.process.environment", "the environment is exactly the one that is configured", "config.md, process; RT-O13",
      why: "The host's environment holds secrets; a variable of the image's decides how the program works."
    ) { site in
      let container = try site.container()
      container.config["process"]["args"] = ["/bin/env"]
      container.config["process"]["env"] = ["ONE=1", "PATH=/bin", "HOME=/data", "EMPTY=", "SPACED=a b"]
      let seen = try container.printed().split(separator: "\n").map(String.init).sorted()
      try expectEqual(seen, ["EMPTY=", "HOME=/data", "ONE=1", "PATH=/bin", "SPACED=a b"], "the environment")
    },
    oci("config.process.cwd", "the program begins in `cwd`", "config.md, process; CF-11", why: "Relative paths depend on it.") { site in
      let container = try site.container("pwd")
      container.config["process"]["cwd"] = "/data"
      try expectEqual(try container.printed(), "/data", "the directory of the program")
    },
    oci(
      "config.process.cwd-relative", "a relative `cwd` is an error", "config.md, process; CF-11, CF-21", why: "Relative to what?"
    ) { site in
      let container = try site.container()
      container.config["process"]["cwd"] = "data"
      if try !container.tryCreate().failed { try expectRefused(try container.tryVerb("start"), "create and start with the relative cwd `data`") }
    },
    oci("config.process.arguments", "the arguments arrive as they are", "config.md, process; CF-12", why: "Spaces and quotes are part of them.") { site in
      let container = try site.container()
      container.config["process"]["args"] = ["/bin/sh", "-c", "for a in \"$@\"; do echo \"<$a>\"; done", "x", "a b", "", "'", "$HOME"]
      try expectEqual(try container.printed().split(separator: "\n").map(String.init), ["<a b>", "<>", "<'>", "<$HOME>"], "the arguments")
    },
    oci(
      "config.process.path-lookup", "a program without a slash is searched in the PATH of the container", "config.md, process; CF-12",
      why: "execvp is the rule."
    ) { site in
      let container = try site.container()
      container.config["process"]["args"] = ["tool"]
      container.config["process"]["env"] = ["PATH=/nowhere:/data"]
      try write("#!/bin/sh\necho found\n", to: container.rootfs + "/data/tool", mode: 0o755)
      try expectEqual(try container.printed(), "found", "what ran")
    },
    oci(
      "config.process.no-arguments", "an empty `args` is an error", "config.md, process; CF-12, RT-O23", why: "There is nothing to run."
    ) { site in
      let container = try site.container()
      container.config["process"]["args"] = []
      if try !container.tryCreate().failed { try expectRefused(try container.tryVerb("start"), "create and start without arguments") }
    },
    oci(
      "config.process.user", "user, group and further groups are the configured ones, and no others", "config.md, user; CF-17",
      why: "A group too many opens files that were closed.", threads: ["containerd/containerd#4360"]
    ) { site in
      let container = try site.container("id -u; id -g; \(status("Groups"))")
      container.config["process"]["user"] = ["uid": 1234, "gid": 4321, "additionalGids": [55, 66]]
      container.config["process"].remove("capabilities")
      let lines = try container.printed().split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
      try expectEqual(lines.count, 3, "lines printed: \(lines)")
      try expectEqual(Array(lines[0...1]), ["1234", "4321"], "user and group")
      let groups = Set(lines[2].split(separator: " ").dropFirst().map(String.init)).subtracting(["4321"])
      try expectEqual(groups.sorted(), ["55", "66"], "further groups")
    },
    oci("config.process.umask", "the umask is the configured one", "config.md, user; RT-O13", level: .should, why: "Files would be readable by others.") {
      site in
      let container = try site.container("umask")
      container.config["process"]["user"]["umask"] = 0o27
      try expectEqual(try container.printed(), "0027", "the umask")
    },
    oci(
      "config.process.capabilities", "each set of capabilities is the configured one", "config.md, process; CF-15, RT-O13",
      why: "One capability too many is often all of them."
    ) { site in
      let container = try site.container("grep '^Cap' /proc/self/status | tr -s '\\t' ' '")
      container.config["process"]["capabilities"] = [
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"], "effective": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
      ]
      // As another user, so that executing a program does not give root's capabilities back: what is left is the bounding set.
      container.config["process"]["user"] = ["uid": 1000, "gid": 1000]
      let lines = try container.printed().split(separator: "\n").map(String.init)
      try expect(lines.contains("CapBnd: 00000000000000a1"), "bounding set: expected 00000000000000a1 (chown, kill, setuid), got \(lines)")
      try expect(lines.contains("CapInh: 0000000000000000"), "inheritable set: expected none, got \(lines)")
      try expect(lines.contains("CapAmb: 0000000000000000"), "ambient set: expected none, got \(lines)")
      try expect(lines.contains("CapEff: 0000000000000000"), "effective set of a user's program: expected none, got \(lines)")
    },
    oci(
      "config.process.capabilities-root", "root in the container has no capability beyond the bounding set", "config.md, process; CF-15",
      why: "Root with all capabilities is root of the host."
    ) { site in
      let container = try site.container("grep '^CapEff' /proc/self/status | tr -s '\\t' ' '")
      container.config["process"]["capabilities"] = ["bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"]]
      try expectEqual(try container.printed(), "CapEff: 0000000000000001", "effective set of root's program")
    },
    oci(
      "config.process.ambient", "ambient capabilities reach a program that is not root's", "config.md, process; CF-15",
      why: "Servers bind low ports without being root."
    ) { site in
      let container = try site.container("grep '^CapEff' /proc/self/status | tr -s '\\t' ' '")
      let sets: JSON = ["CAP_NET_BIND_SERVICE"]
      container.config["process"]["capabilities"] = ["bounding": sets, "effective": sets, "permitted": sets, "inheritable": sets, "ambient": sets]
      container.config["process"]["user"] = ["uid": 1000, "gid": 1000]
      try expectEqual(try container.printed(), "CapEff: 0000000000000400", "effective set")
    },
    oci(
      "config.process.unknown-capability", "a capability that does not exist is a warning, not an error", "config.md, process; CF-15", level: .should,
      why: "New images run on old kernels."
    ) { site in
      let container = try site.container("echo ran")
      container.config["process"]["capabilities"]["bounding"].append("CAP_BOGUS")
      try expectEqual(try container.printed(), "ran", "what the program printed")
    },
    oci(
      "config.process.no-new-privileges", "noNewPrivileges is set where asked for, and only there", "config.md, process; RT-O13",
      why: "It is what makes set-user-id programs harmless."
    ) { site in
      for (asked, expected) in [(true, "NoNewPrivs: 1"), (false, "NoNewPrivs: 0")] {
        let container = try site.container(status("NoNewPrivs"))
        container.config["process"]["noNewPrivileges"] = .bool(asked)
        try expectEqual(try container.printed(), expected, "with noNewPrivileges \(asked)")
      }
    },
    oci(
      "config.process.rlimits", "soft and hard limits are the configured ones", "config.md, process; CF-14", why: "Databases count on their number of files."
    ) { site in
      let container = try site.container("grep '^Max open files' /proc/self/limits | tr -s ' '")
      container.config["process"]["rlimits"] = [["type": "RLIMIT_NOFILE", "soft": 100, "hard": 200]]
      try expectEqual(try container.printed(), "Max open files 100 200 files", "the limits of open files")
    },
    oci(
      "config.process.rlimit-unknown", "a limit that does not exist is an error", "config.md, process; CF-14, CF-21",
      why: "The program would run without the limit."
    ) { site in
      let container = try site.container()
      container.config["process"]["rlimits"] = [["type": "RLIMIT_BOGUS", "soft": 1, "hard": 1]]
      try expectRefused(try container.tryCreate(), "create with RLIMIT_BOGUS")
    },
    oci(
      "config.process.rlimit-duplicate", "a limit that is listed twice is an error", "config.md, process; CF-14", why: "Which of the two was meant?"
    ) { site in
      let container = try site.container()
      let limit: JSON = ["type": "RLIMIT_NOFILE", "soft": 100, "hard": 200]
      container.config["process"]["rlimits"] = [limit, limit]
      try expectRefused(try container.tryCreate(), "create with RLIMIT_NOFILE twice")
    },
    oci(
      "config.process.oom-score", "oomScoreAdj is set where configured, and not changed where not", "config.md, process; CF-16",
      why: "The kernel's killer goes by it: a changed value sacrifices the wrong process."
    ) { site in
      let container = try site.container("cat /proc/self/oom_score_adj")
      container.config["process"]["oomScoreAdj"] = 777
      try expectEqual(try container.printed(), "777", "oom_score_adj where configured")
      let other = try site.container("cat /proc/self/oom_score_adj")
      let own = contents("/proc/self/oom_score_adj").trimmingCharacters(in: .whitespacesAndNewlines)
      try expectEqual(try other.printed(), own, "oom_score_adj where not configured (the caller's own)")
    },
    oci(
      "config.hostname", "the host name is the configured one, in the container alone", "config.md, hostname; RT-O13",
      why: "A renamed host loses its neighbours."
    ) { site in
      let before = ProcessInfo.processInfo.hostName
      let container = try site.container("hostname")
      container.config["hostname"] = "inside"
      try expectEqual(try container.printed(), "inside", "the host name in the container")
      try expectEqual(ProcessInfo.processInfo.hostName, before, "the host name of the host")
    },
    oci(
      "config.sysctl.own", "a kernel setting of the container's namespaces is set", "config-linux.md, sysctl; RT-O13", why: "Databases need them."
    ) { site in
      let container = try site.container("cat /proc/sys/kernel/msgmax")
      container.config["linux"]["sysctl"] = ["kernel.msgmax": "12345"]
      try expectEqual(try container.printed(), "12345", "kernel.msgmax")
    },
    oci(
      "config.sysctl.host", "a kernel setting that is the whole host's is refused", "config-linux.md, sysctl; CF-21", level: .should,
      why: "One container would set it for all."
    ) { site in
      let container = try site.container()
      let own = contents("/proc/sys/kernel/panic").trimmingCharacters(in: .whitespacesAndNewlines)
      container.config["linux"]["sysctl"] = ["kernel.panic": .string(own)]
      try expectRefused(try container.tryCreate(), "create with the host-wide setting kernel.panic")
    },
  ]
}
