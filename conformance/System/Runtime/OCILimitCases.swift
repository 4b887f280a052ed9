import ConformanceSuites
import Foundation
import SystemKit

extension OCIRuntimeSuite {
  private static func seccomp(_ action: JSON) -> JSON {
    ["defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": [action]]
  }
  private static let directories: JSON = ["mkdir", "mkdirat"]

  static let limits: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "config.cgroup.path", "an absolute cgroupsPath is where the container's process is", "config-linux.md, cgroupsPath; LX-21, LX-22", needs: [.cgroups],
      why: "Orchestrators set limits on the parents of the path."
    ) { site in
      let container = try site.container()
      try container.create()
      let paths = contents("/proc/\(try container.pid())/cgroup").split(separator: "\n").map { String($0.split(separator: ":", maxSplits: 2).last ?? "") }
      try expect(
        paths.contains { $0.hasSuffix("/\(site.mark)/\(container.id)") },
        "the process is in the cgroups \(Set(paths).sorted()), expected /\(site.mark)/\(container.id)")
    },
    oci(
      "config.cgroup.pids", "a limit of processes is in force", "config-linux.md, pids; RT-O13", needs: [.cgroups], why: "A fork bomb takes the node."
    ) { site in
      let container = try site.container()
      container.config["linux"]["resources"] = ["pids": ["limit": 17]]
      try container.create()
      try expectEqual(try limit(site, container, ["pids.max"]), "17", "pids.max")
    },
    oci(
      "config.cgroup.memory", "a limit of memory is in force", "config-linux.md, memory; RT-O13", needs: [.cgroups],
      why: "One container takes the memory of all."
    ) { site in
      let container = try site.container()
      container.config["linux"]["resources"] = ["memory": ["limit": 50_003_968]]
      try container.create()
      try expectEqual(try limit(site, container, ["memory.max", "memory.limit_in_bytes"]), "50003968", "the memory limit")
    },
    oci(
      "config.cgroup.cpu", "shares of the processor are in force", "config-linux.md, cpu; RT-O13", level: .should, needs: [.cgroups],
      why: "A loud neighbour takes the processors."
    ) { site in
      guard site.hasHierarchy("cpu.shares") else {
        throw CaseSkipped(.environment, "cpu.shares is a setting of version 1 of cgroups, which is not mounted here")
      }
      let container = try site.container()
      container.config["linux"]["resources"] = ["cpu": ["shares": 512]]
      try container.create()
      try expectEqual(try limit(site, container, ["cpu.shares"]), "512", "cpu.shares")
    },
    oci(
      "config.seccomp.error", "a system call that the filter forbids fails with the configured error, others go on", "config-linux.md, seccomp; LX-30, RT-O13",
      why: "Programs fall back when they see \"not implemented\", and give up at \"not permitted\"."
    ) { site in
      for (code, words) in [(JSON.null, "Operation not permitted"), (38, "Function not implemented")] {
        let container = try site.container("mkdir /data/new 2>&1; touch /data/file && echo touched")
        var rule: JSON = ["names": directories, "action": "SCMP_ACT_ERRNO"]
        if code != .null { rule["errnoRet"] = code }
        container.config["linux"]["seccomp"] = seccomp(rule)
        let printed = try container.printed()
        try expect(printed.contains(words), "mkdir under the filter: expected \"\(words)\", got \"\(printed)\"")
        try expect(printed.hasSuffix("touched"), "a call that the filter allows: \"\(printed)\"")
      }
    },
    oci(
      "config.seccomp.kill", "a system call that the filter kills for ends the process", "config-linux.md, seccomp; LX-30", why: "The last wall."
    ) { site in
      let container = try site.container()
      container.config["process"]["args"] = ["/bin/mkdir", "/data/new"]
      container.config["linux"]["seccomp"] = seccomp(["names": directories, "action": "SCMP_ACT_KILL"])
      let code = try container.run()
      try expectEqual(code, 159, "how the process ended (128 and SIGSYS)")
      try expect(!Files.exists(container.rootfs + "/data/new"), "the forbidden call was made")
    },
    oci(
      "config.seccomp.arguments", "a rule with a condition applies where the argument meets it, and nowhere else", "config-linux.md, seccomp; LX-30",
      why: "Filters allow `socket` for some families only."
    ) { site in
      let container = try site.container("trap '' USR1 USR2; kill -USR1 $$ && echo USR1; kill -USR2 $$ 2>/dev/null && echo USR2; true")
      container.config["linux"]["seccomp"] = seccomp([
        "names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [["index": 1, "value": 12, "op": "SCMP_CMP_EQ"]],
      ])
      try expectEqual(try container.printed(), "USR1", "the signals that could be sent, of USR1 and USR2, which the filter forbids (signal 12)")
    },
    oci(
      "config.seccomp.invalid", "an action or comparison that does not exist is an error", "config-linux.md, seccomp; CF-21", why: "A filter with a hole."
    ) { site in
      let rules: [JSON] = [
        ["names": directories, "action": "SCMP_ACT_BOGUS"],
        ["names": directories, "action": "SCMP_ACT_ERRNO", "args": [["index": 0, "value": 1, "op": "SCMP_CMP_BOGUS"]]],
      ]
      for rule in rules {
        let container = try site.container()
        container.config["linux"]["seccomp"] = seccomp(rule)
        try expectRefused(try container.tryCreate(), "create with the seccomp rule \(try rule.serialized())")
      }
    },
  ]

  private static func limit(_ site: OCISite, _ container: OCIContainer, _ files: [String]) throws -> String {
    for cgroup in site.cgroups() {
      for file in files {
        let path = "\(cgroup)/\(container.id)/\(file)"
        if Files.exists(path) { return contents(path).trimmingCharacters(in: .whitespacesAndNewlines) }
      }
    }
    throw Mismatch(description: "none of \(files) in a cgroup \(site.mark)/\(container.id)")
  }

  static let validity: [ContractCase<OCIRuntimeSubject>] = [
    oci(
      "config.unknown-properties", "properties that nobody knows are ignored, wherever they stand", "config.md, extensibility; CF-20",
      why: "Newer callers speak to older runtimes."
    ) { site in
      let container = try site.container("echo ran")
      container.config["unknown"] = ["a": [1, 2]]
      container.config["process"]["unknown"] = "x"
      container.config["linux"]["unknown"] = 7
      container.config["root"]["unknown"] = true
      try expectEqual(try container.printed(), "ran", "what the program printed")
    },
    oci(
      "config.annotations-ignored", "annotations that nobody knows are ignored", "config.md, annotations; CF-18, CF-20", why: "They belong to others."
    ) { site in
      let container = try site.container("echo ran")
      container.config["annotations"] = ["org.example.unknown/with.slash": "{\"any\": \"thing\"}"]
      try expectEqual(try container.printed(), "ran", "what the program printed")
    },
    oci(
      "config.version.garbage", "an ociVersion that is no version is an error", "config.md, version; CF-01, CF-21",
      why: "Nobody knows what the rest of the document means."
    ) { site in
      for version in ["garbage", ""] {
        let container = try site.container()
        container.config["ociVersion"] = .string(version)
        try expectRefused(try container.tryCreate(), "create with the ociVersion \"\(version)\"")
      }
    },
    oci(
      "config.wrong-kind", "a value of the wrong kind is an error", "config.md; CF-21", why: "Guessing what was meant is how limits get lost."
    ) { site in
      let changes: [(String, (inout JSON) -> Void)] = [
        ("process.args a string", { $0["process"]["args"] = "sh" }), ("mounts an object", { $0["mounts"] = ["destination": "/data"] }),
        ("process.user.uid a word", { $0["process"]["user"]["uid"] = "root" }), ("root a string", { $0["root"] = "rootfs" }),
      ]
      for (what, change) in changes {
        let container = try site.container(change: change)
        try expectRefused(try container.tryCreate(), "create with \(what)")
      }
    },
  ]
}

extension OCISite {
  func container(change: (inout JSON) -> Void) throws -> OCIContainer { try container("sleep 100", id: nil, change) }

  /// Whether some hierarchy of cgroups here has the setting.
  func hasHierarchy(_ file: String) -> Bool {
    let names = (try? Files.names(in: "/sys/fs/cgroup")) ?? []  // no cgroups at all: no hierarchy
    return names.contains { Files.exists("/sys/fs/cgroup/\($0)/\(file)") }
  }
}
