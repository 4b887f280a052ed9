import CLinux
import SystemKit
import TestSupport
import Testing

@testable import LinuxRuntime

/// Real containers; one after the other, since creating clones the whole test process.
@Suite(.serialized, .enabled(if: Bundle.possible, Comment(rawValue: Bundle.reason)))
struct RealContainers {
  @Suite(.serialized) struct Lifecycle {
    @Test func createRunsNothingAndStartRunsOnce() throws {
      let bundle = try Bundle()
      let container = try bundle.create(bundle.spec("echo ran; sleep 100"))
      #expect(container.state == .created)
      #expect(try bundle.printed() == "")
      #expect(String(decoding: container.stateJSON(), as: UTF8.self).contains(#""status":"created""#))
      // Another holder of the same state starts it, as after a restart.
      let other = try Container.load(root: bundle.root, id: "c")
      try other.start()
      #expect(other.state == .running)
      #expect(throws: RuntimeError.self) { try container.start() }
      #expect(try Bundle.eventually { try bundle.printed() == "ran\n" })
      #expect(throws: RuntimeError.self) { try container.delete() }
      try container.kill(signal: SIGKILL)
      #expect(Bundle.wait(container.initPID) == 137)
      #expect(container.state == .stopped)
      let paths = container.cgroupPaths.values
      #expect(!paths.isEmpty && paths.allSatisfy { Files.exists($0) })
      try container.delete()
      #expect(paths.allSatisfy { !Files.exists($0) })
      #expect(!Files.exists(bundle.root + "/c"))
      do {
        _ = try Container.load(root: bundle.root, id: "c")
        Issue.record("still there")
      } catch { #expect(error.kind == .notFound) }
    }

    @Test(arguments: [0, 1, 7, 255]) func givesExitCodes(_ code: Int32) throws {
      let bundle = try Bundle()
      #expect(try bundle.run(bundle.spec("exit \(code)")).status == code)
    }

    @Test func refusesATakenId() throws {
      let bundle = try Bundle()
      _ = try bundle.create(bundle.spec("sleep 100"))
      do {
        _ = try bundle.create(bundle.spec("true"))
        Issue.record("created twice")
      } catch { #expect((error as? RuntimeError)?.kind == .alreadyExists) }
      #expect(try Container.load(root: bundle.root, id: "c").state == .created)
    }

    @Test func creationReportsAMissingProgram() throws {
      let bundle = try Bundle()
      let cases = [
        ("/nosuch", "no such file"), ("nosuch", "not found in $PATH"), ("/etc/passwd", "permission denied"), ("/etc", "permission denied"),
        ("./nosuch", "no such file"),
      ]
      for (program, text) in cases {
        do {
          _ = try bundle.create(RuntimeSpec(json: bundle.config([program]).serialized()))
          Issue.record("\(program) was accepted")
        } catch { #expect("\(error)".contains(program) && "\(error)".contains(text), "\(error)") }
        #expect(!Files.exists(bundle.root + "/c"))
      }
      // Relative to the working directory.
      #expect(try bundle.run(RuntimeSpec(json: bundle.config(["./true"], [("process.cwd", .string("/bin"))]).serialized())).status == 0)
    }

    @Test func aLimitTooLowToStartSaysSo() throws {
      let bundle = try Bundle()
      do {
        _ = try bundle.create(bundle.spec("true", [("linux.resources.memory", .record([("limit", .integer(4096))]))]))
        Issue.record("created within a page")
      } catch { #expect("\(error)".contains("memory"), "\(error)") }
    }

    @Test func aFailedCreationLeavesNothing() throws {
      let bundle = try Bundle()
      let spec = try bundle.spec("true", [("mounts", .array([.record([("destination", .string("/x")), ("type", .string("nosuchfs"))])]))])
      #expect(throws: RuntimeError.self) { try bundle.create(spec) }
      #expect(!Files.exists(bundle.root + "/c"))
      #expect(!Files.exists("/sys/fs/cgroup/pids" + (spec.linux.cgroupsPath ?? "/")))
    }

    @Test func aProcessThatIsNotTheContainersIsNeverKilled() throws {
      let bundle = try Bundle()
      let container = try bundle.create(bundle.spec("sleep 100"))
      let real = container.record.process
      defer { container.record.process = real }
      // As if the container had ended and its pid had been given to this very test.
      container.record.process = ProcessIdentity(pid: getpid(), startTime: 1)
      #expect(container.state == .stopped)
      #expect(throws: RuntimeError.self) { try container.kill(signal: SIGKILL) }
    }

    @Test func aCgroupOfOthersIsRefusedAndLeftAlone() throws {
      let bundle = try Bundle()
      let first = try bundle.create(bundle.spec("sleep 100"), id: "a")
      let path = first.spec.linux.cgroupsPath ?? ""
      do {
        _ = try bundle.create(bundle.spec("true", [("linux.cgroupsPath", .string(path))]), id: "b")
        Issue.record("moved in")
      } catch { #expect("\(error)".contains("not empty"), "\(error)") }
      #expect(first.state == .created)
    }

    @Test func pausesAndResumes() throws {
      let bundle = try Bundle()
      let container = try bundle.create(bundle.spec("sleep 100"))
      try container.start()
      try container.pause()
      #expect(container.state == .paused)
      #expect(throws: RuntimeError.self) { try bundle.exec(container, ["/bin/true"]) }
      try container.resume()
      #expect(container.state == .running)
    }

    @Test func updatesAndReadsLimits() throws {
      let bundle = try Bundle()
      let container = try bundle.create(bundle.spec("sleep 100"))
      try container.start()
      try container.update(resources: Array(#"{"pids":{"limit":33},"memory":{"limit":50331648}}"#.utf8))
      let stats = try container.stats()
      #expect(stats.pids?.limit == 33)
      #expect(stats.memory?.limit == 50_331_648)
      #expect(try container.pids() == [container.initPID])
    }
  }

  @Suite(.serialized) struct Isolation {
    @Test func namespacesAreTheContainersOwn() throws {
      let bundle = try Bundle()
      let own = try NamespaceType.allCases.map { try readLink("/proc/self/ns/\($0.file)") }
      let result = try bundle.run(
        bundle.spec("echo $$; hostname; cd /proc/self/ns; for n in pid net mnt ipc uts user cgroup time; do readlink $n; done; ip link | grep -c mtu"))
      let lines = result.output.split(separator: "\n").map(String.init)
      #expect(lines.first == "1")
      #expect(lines.count == 11)
      #expect(lines[1] == "refrun")
      for kind in ["pid", "net", "mnt", "ipc", "uts", "cgroup"] { #expect(!own.contains(lines.first { $0.hasPrefix(kind + ":") } ?? "")) }
      for kind in ["user", "time"] { #expect(own.contains(lines.first { $0.hasPrefix(kind + ":") } ?? "")) }
      #expect(lines[10] == "1")
    }

    private func readLink(_ path: String) throws -> String {
      var buffer = [CChar](repeating: 0, count: 256)
      let count = try check("readlink", path) { readlink(path, &buffer, 255) }
      return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    @Test func joinsANetworkNamespaceByPath() throws {
      let bundle = try Bundle()
      let name = "ref-test-\(getpid())"
      guard try TestSupport.run(["ip", "netns", "add", name]).status == 0 else {
        print("skipped: ip netns add does not work here")
        return
      }
      defer { _ = try? TestSupport.run(["ip", "netns", "del", name]) }
      let inside = try TestSupport.run(["ip", "netns", "exec", name, "readlink", "/proc/self/ns/net"]).output
      let namespaces = ["pid", "ipc", "uts", "mount"].map { JSONValue.record([("type", .string($0))]) }
      let joined = JSONValue.record([("type", .string("network")), ("path", .string("/var/run/netns/\(name)"))])
      let spec = try bundle.spec("readlink /proc/self/ns/net", [("linux.namespaces", .array(namespaces + [joined]))])
      let result = try bundle.run(spec)
      #expect(result.status == 0 && result.output == inside)
      // A path to a namespace of another kind is an error.
      let wrong = JSONValue.record([("type", .string("ipc")), ("path", .string("/var/run/netns/\(name)"))])
      let rest = ["pid", "uts", "mount"].map { JSONValue.record([("type", .string($0))]) }
      #expect(throws: RuntimeError.self) { try bundle.create(bundle.spec("true", [("linux.namespaces", .array(rest + [wrong]))])) }
    }

    @Test func joinsThePidNamespaceOfAnotherContainer() throws {
      let bundle = try Bundle()
      let first = try bundle.create(bundle.spec("sleep 100"), id: "a")
      let namespaces = ["network", "ipc", "uts", "mount", "cgroup"].map { JSONValue.record([("type", .string($0))]) }
      let joined = JSONValue.record([("type", .string("pid")), ("path", .string("/proc/\(first.initPID)/ns/pid"))])
      let result = try bundle.run(bundle.spec("echo $$; exit 3", [("linux.namespaces", .array(namespaces + [joined]))]), id: "b")
      #expect(result.status == 3 && result.output != "1\n", "\(result)")
    }

    @Test func makesATimeNamespaceWithOffsets() throws {
      let bundle = try Bundle()
      let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup", "time"].map { JSONValue.record([("type", .string($0))]) }
      let offsets = JSONValue.record([("boottime", .record([("secs", .integer(40_000_000))]))])
      let container = try bundle.create(
        bundle.spec("cut -d. -f1 /proc/uptime; sleep 100", [("linux.namespaces", .array(namespaces)), ("linux.timeOffsets", offsets)]))
      symlink("busybox", bundle.rootfs + "/bin/cut")
      try container.start()
      #expect(try bundle.exec(container, ["cut", "-d.", "-f1", "/proc/uptime"]) == 0)
      _ = try Bundle.eventually { try bundle.printed().hasSuffix("\n") }
      for output in ["out", "exec"] {
        #expect(try Int(bundle.printed(output).split(separator: "\n").first ?? "") ?? 0 > 40_000_000, "\(output)")
      }
    }

    @Test func entersTheRootWithoutPivot() throws {
      let bundle = try Bundle()
      var options = CreateOptions(id: "n", bundle: bundle.path, root: bundle.root)
      options.noPivot = true
      let container = try Container.create(options, spec: bundle.spec("test -e /bin/busybox && ! test -e /usr/lib && exit 6"))
      try container.start()
      #expect(Bundle.wait(container.initPID) == 6)
      try container.delete()
    }

    @Test func runsWithTheNamespacesOfTheCaller() throws {
      let bundle = try Bundle()
      let changes: [(String, JSONValue)] = [
        ("linux.namespaces", .array([])), ("hostname", .null), ("mounts", .array([])), ("linux.maskedPaths", .array([])),
        ("linux.readonlyPaths", .array([])),
      ]
      #expect(try bundle.run(bundle.spec("test -e /bin/busybox && ! test -e /usr/lib && exit 8", changes)).status == 8)
    }

    @Test func runsInAUserNamespace() throws {
      let bundle = try Bundle()
      #expect(try TestSupport.run(["chown", "-R", "100000:100000", bundle.rootfs]).status == 0)
      for path in [bundle.scratch.path, bundle.path] { chmod(path, 0o755) }
      let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"].map { JSONValue.record([("type", .string($0))]) }
      let map = JSONValue.array([.record([("containerID", .integer(0)), ("hostID", .integer(100_000)), ("size", .integer(65_536))])])
      let spec = try bundle.spec(
        "id -u; cat /proc/self/uid_map; echo x > /dev/null && touch /scratch/f && ls -ln /scratch/f",
        [("linux.namespaces", .array(namespaces)), ("linux.uidMappings", map), ("linux.gidMappings", map)])
      let result = try bundle.run(spec)
      #expect(result.status == 0 && result.output.hasPrefix("0\n") && result.output.contains("100000"), "\(result)")
      #expect(try Files.status(bundle.rootfs + "/scratch/f").st_uid == 100_000)
    }

    @Test func masksAndProtectsPaths() throws {
      let bundle = try Bundle()
      let result = try bundle.run(
        bundle.spec(
          "cat /proc/keys | head -c1; ls /sys/firmware; echo 1 > /proc/sys/kernel/hostname || echo refused; touch /x || echo ro",
          [("root.readonly", .bool(true))]))
      #expect(result.output.contains("refused") && result.output.contains("ro\n"), "\(result.output)")
      #expect(!result.output.contains("acpi"))
    }

    @Test func bindsWithOptions() throws {
      let bundle = try Bundle()
      try Files.makeDirectories(bundle.scratch.path + "/data")
      try Files.writeAtomically(Array("hello".utf8), to: bundle.scratch.path + "/data/f", mode: 0o644)
      guard case .array(let mounts)? = DefaultSpec.json["mounts"] else { return }
      let bind = JSONValue.record([
        ("destination", .string("/mnt/deep")), ("type", .string("bind")), ("source", .string(bundle.scratch.path + "/data")),
        ("options", .strings(["rbind", "ro", "nosuid"])),
      ])
      let file = JSONValue.record([
        ("destination", .string("/etc/one")), ("source", .string(bundle.scratch.path + "/data/f")), ("options", .strings(["bind"])),
      ])
      let result = try bundle.run(bundle.spec("cat /mnt/deep/f /etc/one; touch /mnt/deep/g || echo ro", [("mounts", .array(mounts + [bind, file]))]))
      #expect(result.output.hasPrefix("hellohello") && result.output.hasSuffix("ro\n"), "\(result.output)")
    }

    @Test(arguments: ["dev", "proc", "sys"]) func aLinkInPlaceOfAKernelDirectoryIsRefused(_ name: String) throws {
      let bundle = try Bundle()
      let outside = bundle.scratch.path + "/outside"
      try Files.makeDirectories(outside)
      rmdir("\(bundle.rootfs)/\(name)")
      symlink("../../outside", "\(bundle.rootfs)/\(name)")
      #expect(throws: RuntimeError.self) { try bundle.create(bundle.spec("true")) }
      #expect(try Files.names(in: outside).isEmpty)
    }

    @Test func nothingMayCoverProc() throws {
      let bundle = try Bundle()
      guard case .array(let mounts)? = DefaultSpec.json["mounts"] else { return }
      for destination in ["/proc", "/proc/self", "/tmp/../proc/sys"] {
        let bind = JSONValue.record([
          ("destination", .string(destination)), ("type", .string("bind")), ("source", .string("/tmp")), ("options", .strings(["bind"])),
        ])
        #expect(throws: RuntimeError.self) { try bundle.create(bundle.spec("true", [("mounts", .array(mounts + [bind]))])) }
      }
    }

    @Test func nothingOfTheCallerIsOpenInside() throws {
      let bundle = try Bundle()
      let leak = try Files.open("/", O_RDONLY | O_DIRECTORY)
      _ = clinux_fcntl(leak.raw, F_SETFD, 0)
      let result = try bundle.run(bundle.spec("ls /proc/self/fd"))
      #expect(result.output.split(separator: "\n").count <= 4, "\(result.output)")
    }
  }
}
