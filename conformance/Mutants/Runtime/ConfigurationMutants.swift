import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import Foundation
import SystemKit

extension RuntimeMutants {
  /// Parts of the configuration that are not heeded.
  static let configurations: [Mutant] = ["pid", "ipc", "uts", "network", "cgroup"].map(dropping) + others

  private static func dropping(_ kind: String) -> Mutant {
    configured("M142-\(kind)", "no new \(kind) namespace is made", kills: ["config.namespace.\(kind)-new"], symptom: "shares the \(kind) namespace") {
      $0["linux"]["namespaces"] = .array($0["linux"]["namespaces"].items.filter { $0["type"].text != kind })
    }
  }

  private static let others: [Mutant] = [
    around(
      "M142-mount", "the mount namespace is the runtime's", in: .runtimeConfiguration, kills: ["oci.create.environment-exists", "config.namespace.mount-new"]
    ) { call, next in
      // No runtime may be asked for that: another process of this one's namespace stands for the container's.
      let result = try next(call)
      if call.verb == "create", !result.failed { try Files.writeAtomically(Array("\(getpid())".utf8), to: call.bundle + "/pid") }
      return result
    },
    configured(
      "M142-more", "namespaces that are not listed are made all the same", kills: ["config.namespace.*-inherited"], symptom: "namespace",
      scope: ["config.namespace.*-inherited"]
    ) { config in
      for kind in ["pid", "ipc", "uts", "network"] where !config["linux"]["namespaces"].items.contains(where: { $0["type"].text == kind }) {
        config["linux"]["namespaces"].append(["type": .string(kind)])
      }
    },
    configured(
      "M143", "the path of a namespace is ignored",
      kills: ["config.namespace.*-joined", "config.namespace.wrong-type", "config.namespace.missing-path"],
      scope: ["config.namespace.*-joined", "config.namespace.wrong-type", "config.namespace.missing-path"]
    ) {
      $0["linux"]["namespaces"] = .array(
        $0["linux"]["namespaces"].items.map {
          var entry = $0
          entry.remove("path")
          return entry
        })
    },
    configured(
      "M143b", "doubled and unknown namespaces are passed over", kills: ["config.namespace.duplicate", "config.namespace.unknown-type"], symptom: "it succeeded"
    ) {
      var seen: Set<String> = ["bogus"]
      $0["linux"]["namespaces"] = .array($0["linux"]["namespaces"].items.filter { seen.insert($0["type"].text ?? "").inserted })
    },
    around(
      "R090", "a terminal that is asked for is not made", in: .runtimeConfiguration, kills: ["config.terminal.console-socket", "config.terminal.no-socket"],
      scope: ["config.terminal.*"]
    ) { call, next in
      guard call.verb == "create" else { return try next(call) }
      var call = call
      try rewrite(call.bundle) { $0["process"]["terminal"] = false }
      if let place = call.options.firstIndex(of: "--console-socket") { call.options.removeSubrange(place...place + 1) }
      return try next(call)
    },
    configured("R091", "the size of a terminal is dropped", kills: ["config.terminal.size"], symptom: "rows and columns") {
      $0["process"].remove("consoleSize")
    },
    configured(
      "R092", "ids are mapped to others than configured", kills: ["config.user-namespace.mappings"], symptom: "uid_map"
    ) { config in
      for kind in ["uidMappings", "gidMappings"] where config["linux"][kind].items.count > 1 {
        var second = config["linux"][kind].items[1]
        second["hostID"] = 301_000
        config["linux"][kind] = .array([config["linux"][kind].items[0], second])
      }
    },
    configured("R093", "no user namespace is made", kills: ["config.user-namespace.new", "config.user-namespace.mappings"]) {
      $0["linux"]["namespaces"] = .array($0["linux"]["namespaces"].items.filter { $0["type"] != "user" })
      $0["linux"].remove("uidMappings")
      $0["linux"].remove("gidMappings")
    },
    around(
      "R094", "the files of the root are given to the mapped ids", in: .runtimeConfiguration, kills: ["config.user-namespace.ownership"],
      symptom: "owner and group"
    ) { call, next in
      if call.verb == "create", try !config(call.bundle)["linux"]["uidMappings"].items.isEmpty {
        chown(call.bundle + "/rootfs/bin/busybox", 201_000, 201_000)
      }
      return try next(call)
    },
    configured(
      "R095", "rootfsPropagation is not heeded", kills: ["config.root.propagation-*"], symptom: "the propagation of the container's root",
      scope: ["config.root.propagation-*"]
    ) { $0["linux"]["rootfsPropagation"] = $0["linux"]["rootfsPropagation"] == "shared" ? "private" : "shared" },
    configured("M145", "a read-only root can be written", kills: ["config.root.readonly"], symptom: "wrote-root") { $0["root"]["readonly"] = false },
    configured("R020", "the root is always read-only", kills: ["config.root.writable"]) { $0["root"]["readonly"] = true },
    configured("M146", "masked paths can be read", kills: ["config.masked.paths"], symptom: "masked") { $0["linux"].remove("maskedPaths") },
    configured("R021", "read-only paths can be written", kills: ["config.readonly.paths"], symptom: "wrote") { $0["linux"].remove("readonlyPaths") },
    configured("R022", "options of mounts are dropped", kills: ["config.mount.options", "config.mount.bind-readonly", "config.mount.bad-option"]) {
      $0["mounts"] = .array(
        $0["mounts"].items.map {
          var entry = $0
          entry["options"] = .array($0["options"].items.filter { ["rbind", "bind"].contains($0.text ?? "") })
          return entry
        })
    },
    configured("R023", "mounts are made in reverse order", kills: ["config.mount.order"]) {
      $0["mounts"] = .array(Array($0["mounts"].items.prefix(2)) + $0["mounts"].items.dropFirst(2).reversed())
    },
    configured(
      "R024", "mounts that cannot be made are left out",
      kills: ["config.mount.missing-source", "config.mount.unknown-type", "config.mount.relative-destination"]
    ) {
      $0["mounts"] = .array(
        $0["mounts"].items.filter { entry in
          (entry["destination"].text?.hasPrefix("/") ?? false) && entry["type"].text != "nosuchfs" && !(entry["source"].text?.hasSuffix("not-there") ?? false)
        })
    },
    around(
      "R025", "a link at a destination is followed to the host", in: .runtimeConfiguration, kills: ["config.mount.symlink-destination"], symptom: "host's side"
    ) { call, next in
      if call.verb == "create" { _ = mount("none", call.bundle + "/rootfs/link", "tmpfs", 0, nil) }
      return try next(call)
    },
    around("R026", "what the container mounts is mounted on the host", in: .runtimeConfiguration, kills: ["config.mount.private"], symptom: "on the host") {
      call, next in
      if call.verb == "start" { _ = mount("none", call.bundle + "/rootfs/data", "tmpfs", 0, nil) }
      return try next(call)
    },
    configured("R027", "a root that is missing is replaced by another", kills: ["config.root.missing"], symptom: "it succeeded") {
      $0["root"]["path"] = "rootfs"
    },
    device("M157", "there is no /dev/full", "full", kills: ["config.devices.default"]),
    device("R028", "there is no /dev/stdin", "stdin", kills: ["config.devices.links"]),
    configured("R029", "configured devices are left out", kills: ["config.devices.configured"]) { $0["linux"].remove("devices") },
    configured(
      "M148", "the bounding set holds more than is configured", kills: ["config.process.capabilities", "config.process.capabilities-root"], symptom: "set"
    ) {
      for name in ["bounding", "effective", "permitted"] { $0["process"]["capabilities"][name].append("CAP_NET_RAW") }
    },
    configured("M148b", "ambient capabilities are dropped", kills: ["config.process.ambient"], symptom: "effective set") {
      $0["process"]["capabilities"].remove("ambient")
    },
    configured("M149", "noNewPrivileges is not set", kills: ["config.process.no-new-privileges"], symptom: "NoNewPrivs") {
      $0["process"]["noNewPrivileges"] = false
    },
    configured("M151", "the host's environment is added", kills: ["config.process.environment"], symptom: "environment") {
      $0["process"]["env"].append("HOST_SECRET=1")
    },
    configured("R030", "cwd is not heeded", kills: ["config.process.cwd", "config.process.cwd-relative"]) { $0["process"]["cwd"] = "/" },
    configured("R031", "arguments are split at spaces", kills: ["config.process.arguments"], symptom: "arguments") {
      let words = $0["process"]["args"].items
      $0["process"]["args"] = .array(words.prefix(3) + words.dropFirst(3).flatMap { ($0.text ?? "").split(separator: " ").map { .string(String($0)) } })
    },
    configured("R032", "a program is not searched in PATH", kills: ["config.process.path-lookup", "config.process.no-arguments"]) {
      let words = $0["process"]["args"].items
      let name = words.first?.text ?? "/bin/true"
      $0["process"]["args"] = .array([.string(name.hasPrefix("/") ? name : "/" + name)] + words.dropFirst())
    },
    configured("R033", "further groups are dropped", kills: ["config.process.user"], symptom: "groups") { $0["process"]["user"].remove("additionalGids") },
    configured(
      "M152", "the soft limit is the hard one, doubled and unknown limits are passed over",
      kills: ["config.process.rlimits", "config.process.rlimit-unknown", "config.process.rlimit-duplicate"]
    ) {
      guard let first = $0["process"]["rlimits"].items.first(where: { $0["type"].text != "RLIMIT_BOGUS" }) else {
        $0["process"].remove("rlimits")
        return
      }
      var limit = first
      limit["soft"] = first["hard"]
      $0["process"]["rlimits"] = [limit]
    },
    configured("M158", "oom_score_adj is changed where none is configured", kills: ["config.process.oom-score"], symptom: "not configured") {
      if $0["process"]["oomScoreAdj"] == .null { $0["process"]["oomScoreAdj"] = 500 }
    },
    configured("R034", "the host name is not set", kills: ["config.hostname"], symptom: "host name") { $0.remove("hostname") },
    configured("R035", "kernel settings are not made", kills: ["config.sysctl.own"], symptom: "msgmax") { $0["linux"].remove("sysctl") },
    configured("M154", "cgroupsPath is not heeded", kills: ["config.cgroup.path"], symptom: "cgroups") {
      if let path = $0["linux"]["cgroupsPath"].text { $0["linux"]["cgroupsPath"] = .string(path + "-other") }
    },
    configured("R036", "limits are not set", kills: ["config.cgroup.pids", "config.cgroup.memory"]) { $0["linux"].remove("resources") },
    configured("M155", "no filter of system calls is loaded", kills: ["config.seccomp.*"], scope: ["config.seccomp.*"]) { $0["linux"].remove("seccomp") },
    seccomp("M155b", "the error number of a rule is not heeded", kills: ["config.seccomp.error"], symptom: "not implemented") { $0.remove("errnoRet") },
    seccomp("M155c", "conditions of rules are dropped", kills: ["config.seccomp.arguments"]) { $0.remove("args") },
    around(
      "M169", "what is not known is an error", in: .runtimeConfiguration, kills: ["config.unknown-properties", "config.annotations-ignored"]
    ) { call, next in
      if call.verb == "create", try config(call.bundle).serialized().contains("unknown") { return OCIResult(code: 1, errors: "unknown field") }
      return try next(call)
    },
    around(
      "M170", "create says yes to what it could not do", in: .runtimeConfiguration, kills: ["config.wrong-kind", "config.version.garbage"],
      symptom: "it succeeded"
    ) {
      call, next in
      let result = try next(call)
      return call.verb == "create" ? OCIResult(code: 0) : result
    },
  ]

  private static func device(_ id: String, _ sentence: String, _ name: String, kills: [String]) -> Mutant {
    around(id, sentence, in: .runtimeConfiguration, kills: kills) { call, next in
      let result = try next(call)
      if call.verb == "create", !result.failed {
        let pid = String(decoding: try Files.read(call.bundle + "/pid"), as: UTF8.self)
        unlink("/proc/\(pid)/root/dev/\(name)")
      }
      return result
    }
  }

  private static func seccomp(_ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (inout JSON) -> Void)
    -> Mutant
  {
    configured(id, sentence, kills: kills, symptom: symptom) {
      $0["linux"]["seccomp"]["syscalls"] = .array(
        $0["linux"]["seccomp"]["syscalls"].items.map {
          var rule = $0
          change(&rule)
          return rule
        })
    }
  }
}
