import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import Foundation
import Synchronization
import SystemKit

extension RuntimeMutants {
  /// Verbs that do something else than they should.
  static let verbs: [Mutant] = [
    around("M128", "create runs the program at once", kills: ["oci.create.runs-nothing", "oci.start.killed-before"]) { call, next in
      let result = try next(call)
      var start = call
      start.verb = "start"
      start.options = []
      if call.verb == "create", !result.failed { _ = try next(start) }
      if call.verb == "start" { return OCIResult(code: 0) }
      return result
    },
    around("M130", "start makes the container anew, of the config.json that is there now", kills: ["oci.create.config-edited", "oci.start.same-process"]) {
      call, next in
      if call.verb == "start", Files.exists(call.bundle + "/config.json") {
        var again = call
        again.verb = "delete"
        again.options = ["--force"]
        _ = try next(again)
        again.verb = "create"
        again.options = ["--bundle", call.bundle]
        again.stdout = call.bundle + "/out"
        again.stderr = call.bundle + "/err"
        _ = try next(again)
      }
      return try next(call)
    },
    around(
      "M131", "start says yes whatever the state is",
      kills: ["oci.start.running", "oci.start.stopped", "oci.start.unknown", "oci.create.missing-program"], symptom: "it succeeded"
    ) { call, next in
      let result = try next(call)
      return call.verb == "start" ? OCIResult(code: 0, output: result.output) : result
    },
    around("M133", "kill sends TERM whatever is asked for", kills: ["oci.kill.exact-signal", "oci.kill.bogus-signal", "oci.kill.kill"]) { call, next in
      var call = call
      if call.verb == "kill", call.operands.count > 1 { call.operands[1] = "TERM" }
      return try next(call)
    },
    around("R001", "kill says yes whatever the state is", kills: ["oci.kill.stopped", "oci.kill.unknown", "oci.kill.bogus-signal"], symptom: "it succeeded") {
      call, next in
      let result = try next(call)
      return call.verb == "kill" ? OCIResult(code: 0) : result
    },
    around("M134", "delete ends what runs without being forced to", kills: ["oci.delete.running"], symptom: "it succeeded") { call, next in
      var call = call
      if call.verb == "delete" { call.options = ["--force"] }
      return try next(call)
    },
    around("R002", "delete says yes and does nothing", kills: ["oci.delete.stopped", "oci.delete.unknown", "oci.delete.force"]) { call, next in
      call.verb == "delete" ? OCIResult(code: 0) : try next(call)
    },
    around("M136", "delete removes the bundle too", kills: ["oci.delete.keeps-foreign"], symptom: "bundle") { call, next in
      let result = try next(call)
      if call.verb == "delete" { try Files.removeTree(call.bundle + "/config.json") }
      return result
    },
    around(
      "R018", "delete --force says yes to what a killed create has left, and does nothing", kills: ["oci.create.killed", "oci.create.killed-id"],
      threads: ["opencontainers/runc#4534"]
    ) { call, next in
      let mark = call.bundle + "/killed"
      if call.verb == "create", call.killedAfter != nil { try Files.writeAtomically([], to: mark) }
      if call.verb == "delete", Files.exists(mark) { return OCIResult(code: 0) }
      return try next(call)
    },
    around("R003", "delete leaves a mount", kills: ["oci.delete.no-mounts"], symptom: "mounts left") { call, next in
      let result = try next(call)
      if call.verb == "delete", !result.failed { _ = mount("none", call.bundle + "/rootfs/data", "tmpfs", 0, nil) }
      return result
    },
    around("R004", "delete leaves the cgroup", kills: ["oci.delete.no-cgroup"], symptom: "cgroups left") { call, next in
      let result = try next(call)
      if call.verb == "delete", !result.failed, let path = try config(call.bundle)["linux"]["cgroupsPath"].text {
        for name in try Files.names(in: "/sys/fs/cgroup") where Files.exists("/sys/fs/cgroup/\(name)/cgroup.procs") {
          try Files.makeDirectories("/sys/fs/cgroup/\(name)\(path)")
        }
      }
      return result
    },
    around("M137", "a taken id is given to the newcomer", kills: ["oci.create.duplicate-id"]) { call, next in
      let result = try next(call)
      guard call.verb == "create", result.failed else { return result }
      var removal = call
      removal.verb = "delete"
      removal.options = ["--force"]
      _ = try next(removal)
      return try next(call)
    },
    around(
      "R005", "every verb says yes, whatever happened",
      kills: [
        "oci.id.*", "oci.create.failed-leaves-nothing", "oci.create.no-bundle", "oci.create.not-json", "oci.create.no-process", "oci.state.unknown",
        "oci.create.error-message",
      ], symptom: "it succeeded", scope: ["oci.id.*", "oci.create.*", "oci.state.*"], threads: ["opencontainers/runtime-tools#813"]
    ) { call, next in
      var result = try next(call)
      result.code = 0
      return result
    },
    around("R006", "delete --force takes `..` for an id, and erases the parent of the state root", kills: ["oci.id.dot-dot"], symptom: "was erased") {
      call, next in
      if call.verb == "delete", call.options == ["--force"], call.id == ".." { try Files.removeTree(Files.parent(of: call.root) + "/sentinel") }
      return try next(call)
    },
    around("R007", "a create that fails leaves its directory in the state root", kills: ["oci.create.failed-leaves-nothing"], symptom: "left") { call, next in
      let result = try next(call)
      if call.verb == "create", result.failed { try Files.makeDirectories("\(call.root)/\(call.id)") }
      return result
    },
    around("R008", "of two creations at once one fails", kills: ["oci.create.parallel"]) { call, next in
      guard call.verb == "create" else { return try next(call) }
      let others = underway.withLock { count in
        count += 1
        return count > 1
      }
      defer { underway.withLock { $0 -= 1 } }
      usleep(20_000)
      return others ? OCIResult(code: 1, errors: "busy") : try next(call)
    },
    around("R009", "start works in the directory of create only", kills: ["oci.start.from-elsewhere"]) { call, next in
      call.verb == "start" && call.directory == "/" ? OCIResult(code: 1, errors: "config.json: no such file") : try next(call)
    },
  ]

  private static let underway = Mutex(0)

  /// Answers that are not true.
  static let answers: [Mutant] = [
    state("M139", "the state has no pid", kills: ["oci.state.fields", "oci.create.pid-file"], symptom: "pid") { $0.remove("pid") },
    state("M139b", "the state's bundle is relative", kills: ["oci.state.absolute-bundle", "oci.state.fields"], symptom: "bundle") { $0["bundle"] = "b1" },
    state("M139c", "the state's version has two numbers", kills: ["oci.state.version"], symptom: "MAJOR.MINOR.PATCH") { $0["ociVersion"] = "1.0" },
    state("M139d", "the state has no annotations", kills: ["oci.state.annotations"], symptom: "annotation") { $0.remove("annotations") },
    state("M139e", "what has ended is said to run", kills: ["oci.state.follows", "oci.kill.kill"], symptom: "stopped") {
      if $0["status"] == "stopped" { $0["status"] = "running" }
    },
    around("R010", "the pid file holds another pid", kills: ["oci.create.pid-file"], symptom: "pid") { call, next in
      let result = try next(call)
      if call.verb == "create", !result.failed { try Files.writeAtomically(Array("1".utf8), to: call.bundle + "/pid") }
      return result
    },
    around("R011", "create prints where the program will", kills: ["oci.create.silent"], symptom: "wrote on") { call, next in
      let result = try next(call)
      if call.verb == "create" {
        let file = try Files.open(call.stdout, O_WRONLY | O_APPEND)
        try Array("created\n".utf8).withUnsafeBytes { try Files.writeAll($0, to: file, path: call.stdout) }
      }
      return result
    },
    around("R012", "errors have no message", kills: ["oci.create.error-message"], symptom: "no word why") { call, next in
      let result = try next(call)
      return result.failed ? OCIResult(code: result.code) : result
    },
    program("M140", "the exit code is always 0", kills: ["oci.exit.codes"], symptom: "exit code", "\"$@\"; exit 0"),
    program("R013", "start runs the program twice", kills: ["oci.start.runs-once"], symptom: "one a run", "\"$@\"; \"$@\""),
    program("R014", "standard error goes to standard output", kills: ["oci.start.streams-apart"], symptom: "standard output", "exec \"$@\" 2>&1"),
    program("R015", "the program has no standard input", kills: ["oci.start.stdin"], symptom: "read and printed", "exec \"$@\" </dev/null"),
    program(
      "R016", "the program finds a further descriptor open", kills: ["oci.start.descriptors"], symptom: "descriptors", "exec 7</bin/busybox; exec \"$@\""),
    program("R017", "the program begins outside of its root", kills: ["oci.start.no-host-directory"], symptom: "led to", "echo '(unreachable)/'; exec \"$@\"") {
      if $0["process"]["cwd"].text?.hasPrefix("/proc/self/fd") ?? false { $0["process"]["cwd"] = "/" }
    },
  ]

  private static func state(_ id: String, _ sentence: String, kills: [String], symptom: String, _ change: @escaping @Sendable (inout JSON) -> Void) -> Mutant {
    around(id, sentence, kills: kills, symptom: symptom) { call, next in
      var result = try next(call)
      if call.verb == "state", !result.failed {
        var state = try JSON(parsing: result.output)
        change(&state)
        result.output = try state.serialized()
      }
      return result
    }
  }

  private static func program(
    _ id: String, _ sentence: String, kills: [String], symptom: String, _ script: String, _ change: @escaping @Sendable (inout JSON) -> Void = { _ in }
  ) -> Mutant {
    configured(id, sentence, in: .lifecycle, kills: kills, symptom: symptom) {
      change(&$0)
      throughShell(&$0, script)
    }
  }
}
