import CLinux
import SystemKit
import TestSupport
import Testing

@testable import LinuxRuntime

extension RealContainers {
  @Suite(.serialized) struct Processes {
    @Test func hasTheCapabilitiesAsked() throws {
      let bundle = try Bundle()
      let result = try bundle.run(bundle.spec("cat /proc/self/status"))
      for line in ["CapInh:\t0000000000000000", "CapPrm:\t0000000020000420", "CapBnd:\t0000000020000420", "NoNewPrivs:\t1"] {
        #expect(result.output.contains(line), "\(line)")
      }
    }

    @Test func isTheUserAsked() throws {
      let bundle = try Bundle()
      let user = JSONValue.record([("uid", .integer(7)), ("gid", .integer(8)), ("additionalGids", .array([.integer(9)])), ("umask", .integer(0o77))])
      let result = try bundle.run(
        bundle.spec(
          "id -u; id -g; id -G; umask; echo $HOME; pwd; grep CapEff /proc/self/status", [("process.user", user), ("process.cwd", .string("/new/dir"))]))
      #expect(result.output.hasPrefix("7\n8\n8 9\n0077\n/home/u\n/new/dir\n"), "\(result.output)")
    }

    @Test func aFilterRefusesACall() throws {
      let bundle = try Bundle()
      let filter = JSONValue.record([
        ("defaultAction", .string("SCMP_ACT_ALLOW")),
        ("syscalls", .array([.record([("names", .strings(["mkdir", "mkdirat"])), ("action", .string("SCMP_ACT_ERRNO"))])])),
      ])
      for privileges in [true, false] {
        let spec = try bundle.spec("mkdir /scratch/d; echo $?", [("linux.seccomp", filter), ("process.noNewPrivileges", .bool(privileges))])
        let result = try bundle.run(spec)
        #expect(result.output.contains("Operation not permitted") && result.output.hasSuffix("1\n"), "\(result.output)")
      }
    }

    @Test func hasItsLimits() throws {
      let bundle = try Bundle()
      func limits(_ type: String, _ value: Int64) -> JSONValue {
        .array([.record([("type", .string(type)), ("soft", .integer(value)), ("hard", .integer(value))])])
      }
      #expect(try bundle.run(bundle.spec("ulimit -n; ulimit -Hn", [("process.rlimits", limits("RLIMIT_NOFILE", 77))])).output == "77\n77\n")
    }

    @Test func theCgroupLimitsItsProcesses() throws {
      let bundle = try Bundle()
      let spec = try bundle.spec("sleep 5 & sleep 5 & sleep 5 & sleep 5 & echo no", [("linux.resources.pids", .record([("limit", .integer(3))]))])
      let result = try bundle.run(spec)
      #expect(result.output.contains("fork"), "\(result.output)")
    }

    @Test func devicesAreLimited() throws {
      let bundle = try Bundle()
      let everything = JSONValue.strings(["CAP_MKNOD"])
      let sets = JSONValue.record([("bounding", everything), ("effective", everything), ("permitted", everything)])
      symlink("busybox", bundle.rootfs + "/bin/mknod")
      let result = try bundle.run(
        bundle.spec("mknod /dev/k c 1 11 && cat /dev/k || echo refused; cat /dev/null && echo fine", [("process.capabilities", sets)]))
      #expect(result.output.contains("refused") && result.output.contains("fine"), "\(result.output)")
    }

    @Test func execEntersEverything() throws {
      let bundle = try Bundle()
      let container = try bundle.create(bundle.spec("sleep 100", [("linux.resources.pids", .record([("limit", .integer(50))]))]))
      try container.start()
      let script =
        "echo $$ | grep -v '^1$' >/dev/null && hostname; cat /proc/self/cgroup /proc/1/cgroup | sort | uniq -c | grep -vc ' 2 '; cd /proc/self/ns; for n in *; do [ \"$(readlink $n)\" = \"$(readlink /proc/1/ns/$n)\" ] || echo $n; done; grep -e CapEff -e NoNew /proc/self/status; exit 9"
      let status = try bundle.exec(container, ["sh", "-c", script]) {
        var all = ProcessSpec.CapabilitySets()
        all.bounding = ["CAP_SYS_PTRACE", "CAP_KILL"]
        all.effective = all.bounding
        all.permitted = all.bounding
        $0.capabilities = all
      }
      let printed = try bundle.printed("exec")
      #expect(status == 9)
      #expect(printed.hasPrefix("refrun\n0\n"), "\(printed)")
      #expect(printed.contains("CapEff:\t0000000000080020\nNoNewPrivs:\t1"), "\(printed)")
      #expect(!printed.contains("net\n"), "\(printed)")
      #expect(container.state == .running)
    }

    @Test func execReportsAMissingProgramAndUsesPath() throws {
      let bundle = try Bundle()
      let container = try bundle.create(bundle.spec("sleep 100"))
      try container.start()
      do {
        _ = try bundle.exec(container, ["/nosuch"])
        Issue.record("ran")
      } catch { #expect((error as? RuntimeError)?.kind == .notFound, "\(error)") }
      #expect(try bundle.exec(container, ["true"]) == 0)
    }

    @Test func givesATerminal() throws {
      let bundle = try Bundle()
      let container = try bundle.create(bundle.spec("test -t 0 && tty; ls -l /dev/console | cut -c1; exit 4", [("process.terminal", .bool(true))]))
      symlink("busybox", bundle.rootfs + "/bin/tty")
      symlink("busybox", bundle.rootfs + "/bin/cut")
      let master = try #require(container.ttyMaster)
      try container.start()
      #expect(Bundle.wait(container.initPID) == 4)
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = read(master, &buffer, buffer.count)
      close(master)
      let text = String(decoding: buffer[..<max(count, 0)], as: UTF8.self)
      #expect(text.contains("/dev/pts/0") || text.contains("/dev/console"), "\(text)")
      try container.delete()
    }

    @Test func killAllReachesEveryProcess() throws {
      let bundle = try Bundle()
      let container = try bundle.create(bundle.spec("sleep 100 & sleep 100 & wait"))
      try container.start()
      #expect(try Bundle.eventually { try container.pids().count == 3 })
      try container.kill(signal: SIGKILL, all: true)
      #expect(Bundle.wait(container.initPID) == 137)
      #expect(try container.pids().isEmpty)
    }
  }

  @Suite(.serialized) struct Hooks {
    private func hook(_ bundle: Bundle, _ name: String, exit code: Int = 0) -> JSONValue {
      .array([
        .record([
          ("path", .string("/bin/sh")),
          ("args", .strings(["sh", "-c", "echo \(name) $(grep -o '\"status\":\"[a-z]*\"') >> \(bundle.scratch.path)/hooks; exit \(code)"])),
          ("env", .strings(["PATH=/bin:/usr/bin"])),
        ])
      ])
    }

    @Test func runInOrderAtTheirPlaces() throws {
      let bundle = try Bundle()
      symlink("busybox", bundle.rootfs + "/bin/grep")
      var changes = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"].map { ("hooks.\($0)", hook(bundle, $0)) }
      // This one sees the container's files.
      changes.append(
        ("hooks.startContainer", .array([.record([("path", .string("/bin/sh")), ("args", .strings(["sh", "-c", "cat > /scratch/state"]))])])))
      let container = try bundle.create(bundle.spec("cat /scratch/state > /scratch/seen; sleep 100", changes))
      func ran() throws -> [String] {
        String(decoding: try Files.read(bundle.scratch.path + "/hooks"), as: UTF8.self).split(separator: "\n").map(String.init)
      }
      let created = ["prestart", "createRuntime", "createContainer"].map { "\($0) \"status\":\"created\"" }
      #expect(try ran() == created)
      #expect(!Files.exists(bundle.rootfs + "/scratch/state"))
      try container.start()
      #expect(try ran() == created + ["poststart \"status\":\"running\""])
      #expect(String(decoding: try Files.read(bundle.rootfs + "/scratch/state"), as: UTF8.self).contains("\"id\":\"c\""))
      try container.delete(force: true)
      _ = Bundle.wait(container.initPID)
      #expect(try ran().last == "poststop \"status\":\"stopped\"")
    }

    @Test(arguments: ["prestart", "createRuntime", "createContainer"]) func aFailureStopsTheCreation(_ name: String) throws {
      let bundle = try Bundle()
      do {
        _ = try bundle.create(bundle.spec("true", [("hooks.\(name)", hook(bundle, name, exit: 5))]))
        Issue.record("created")
      } catch { #expect("\(error)".contains(name) && "\(error)".contains("exit status 5"), "\(error)") }
      #expect(!Files.exists(bundle.root + "/c"))
    }

    @Test func aSlowHookIsKilled() throws {
      let bundle = try Bundle()
      let slow = JSONValue.array([.record([("path", .string("/bin/sleep")), ("args", .strings(["sleep", "60"])), ("timeout", .integer(1))])])
      do {
        _ = try bundle.create(bundle.spec("true", [("hooks.createRuntime", slow)]))
        Issue.record("created")
      } catch { #expect("\(error)".contains("in time"), "\(error)") }
    }

    @Test func aFailingPoststopIsAWarning() throws {
      let bundle = try Bundle()
      let container = try bundle.create(bundle.spec("true", [("hooks.poststop", hook(bundle, "poststop", exit: 1))]))
      try container.start()
      _ = Bundle.wait(container.initPID)
      try container.delete()
      #expect(container.warnings.contains { $0.contains("poststop") })
    }
  }
}
