import CLinux
import LinuxRuntime
import SystemKit
import TestSupport
import Testing

extension RealContainers {
  /// The command, beside Debian's runc where that is installed.
  @Suite(.serialized) struct CommandLineTests {
    private static func sibling(_ name: String) -> String? {
      var buffer = [CChar](repeating: 0, count: 4096)
      let count = readlink("/proc/self/exe", &buffer, 4095)
      guard count > 0 else { return nil }
      let path = Files.parent(of: String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)) + "/" + name
      return Files.exists(path) ? path : nil
    }

    private func runtimes(_ bundle: Bundle) -> [[String]] {
      var list: [[String]] = []
      if let own = Self.sibling("refrun") {
        list.append([own, "--root", bundle.scratch.path + "/own"])
      } else {
        print("skipped: refrun is not built beside the tests")
      }
      for path in ["/usr/sbin/runc", "/usr/bin/runc"] where Files.exists(path) {
        list.append([path, "--root", bundle.scratch.path + "/runc"])
        break
      }
      return list
    }

    @Test func printsAndExitsAsRuncDoes() throws {
      let bundle = try Bundle()
      let script =
        "id; hostname; pwd; env | sort | grep -v HOSTNAME; ls /dev | sort; cat /proc/self/status | grep Cap; cat /proc/mounts | cut -d' ' -f2 | grep -v -e unified | sort; exit 42"
      for name in ["sort", "grep", "cut"] { symlink("busybox", "\(bundle.rootfs)/bin/\(name)") }
      // Of a hybrid host Debian's runc shows the container only the v1 hierarchies; ours shows the unified one too.
      var config = bundle.config(["sh", "-c", script])
      if case .object(var members) = config {
        // Debian's runc knows the specification up to 1.0.2 only.
        members[0].value = .string("1.0.2-dev")
        config = .object(members)
      }
      try Files.writeAtomically(config.serialized(), to: bundle.path + "/config.json", mode: 0o644)
      let results = try runtimes(bundle).map { try TestSupport.run($0 + ["run", "-b", bundle.path, "cli-\(getpid())"]) }
      for result in results { #expect(result.status == 42, "\(result)") }
      if results.count == 2 { #expect(results[0].output == results[1].output) }
    }

    @Test func doesTheWholeLife() throws {
      let bundle = try Bundle()
      guard let refrun = runtimes(bundle).first else { return }
      let config = bundle.config(["/bin/sleep", "100"])
      try Files.writeAtomically(config.serialized(), to: bundle.path + "/config.json", mode: 0o644)
      func call(_ arguments: String...) throws -> (status: Int32, output: String) { try TestSupport.run(refrun + arguments) }
      let pidFile = bundle.scratch.path + "/pid"
      // Through files: the container keeps what it is given open.
      let created = try TestSupport.run(
        ["/bin/sh", "-c", "\"$@\" </dev/null >\(bundle.scratch.path)/log 2>&1", "sh"] + refrun + [
          "create", "--bundle", bundle.path, "--pid-file", pidFile, "x",
        ])
      #expect(created.status == 0)
      #expect(try call("state", "x").output.contains("\"status\": \"created\""))
      #expect(try call("start", "x").status == 0)
      #expect(try call("list", "-q").output == "x\n")
      #expect(try call("ps", "--format", "json", "x").output == "[\(String(decoding: try Files.read(pidFile), as: UTF8.self))]\n")
      #expect(try call("exec", "x", "sh", "-c", "echo hi; exit 3") == (3, "hi\n"))
      #expect(try call("events", "--stats", "x").output.contains("\"type\":\"stats\""))
      #expect(try call("update", "--pids-limit", "20", "x").status == 0)
      #expect(try call("pause", "x").status == 0)
      #expect(try call("resume", "x").status == 0)
      #expect(try call("kill", "x", "KILL").status == 0)
      #expect(try Bundle.eventually { try call("state", "x").output.contains("\"status\": \"stopped\"") })
      #expect(try call("delete", "x").status == 0)
      let gone = try TestSupport.run(refrun + ["--log", bundle.scratch.path + "/json", "--log-format", "json", "state", "x"])
      #expect(gone.status == 1 && gone.output.contains("does not exist"))
      #expect(
        String(decoding: try Files.read(bundle.scratch.path + "/json"), as: UTF8.self).hasPrefix("{\"level\":\"error\",\"msg\":\"container does not exist"))
      #expect(try call("features").output.contains("ociVersionMax"))
      #expect(try call("nonsense").status == 1)
    }
  }
}
