import CLinux
import SystemKit
import TestSupport
import Testing

@testable import LinuxRuntime

/// What hostile images, configurations and processes have tried on runtimes. A container may fail; the host stays as it was.
extension RealContainers {
  @Suite(.serialized) struct Attacks {
    private static func mounts(_ more: JSONValue...) -> [(String, JSONValue)] {
      guard case .array(let mounts)? = DefaultSpec.json["mounts"] else { return [] }
      return [("mounts", .array(mounts + more))]
    }

    private static func bind(_ source: String, _ destination: String) -> JSONValue {
      .record([
        ("destination", .string(destination)), ("type", .string("bind")), ("source", .string(source)), ("options", .strings(["rbind", "rw"])),
      ])
    }

    /// A directory of the host that must stay empty.
    private func outside(_ bundle: Bundle) throws -> String {
      let path = bundle.scratch.path + "/outside"
      try Files.makeDirectories(path)
      return path
    }

    // MARK: paths in the image

    @Test(arguments: ["/hole", "/hole/deeper", "/a/../hole/x"])
    func aMountsDestinationLinkedOutOfTheRootStaysInside(_ destination: String) throws {
      let bundle = try Bundle()
      let outside = try outside(bundle)
      symlink("../../../../../../../../../../../../.." + outside, bundle.rootfs + "/hole")
      _ = try? bundle.run(bundle.spec("true", Self.mounts(Self.bind("/bin", destination))))
      #expect(try Files.names(in: outside).isEmpty)
      // Where the link leads inside of the root is where the mount may be.
      #expect(Files.exists(bundle.rootfs + outside))
    }

    @Test func aLinkToNothingIsFollowedInsideForFilesToo() throws {
      let bundle = try Bundle()
      let outside = try outside(bundle)
      try Files.writeAtomically(Array("nameserver\n".utf8), to: bundle.scratch.path + "/resolv")
      symlink("../../..\(outside)/resolv.conf", bundle.rootfs + "/etc/resolv.conf")
      let result = try bundle.run(bundle.spec("cat /etc/resolv.conf", Self.mounts(Self.bind(bundle.scratch.path + "/resolv", "/etc/resolv.conf"))))
      #expect(result.output == "nameserver\n")
      #expect(try Files.names(in: outside).isEmpty)
    }

    @Test func linksInACircleEnd() throws {
      let bundle = try Bundle()
      symlink("b", bundle.rootfs + "/a")
      symlink("a", bundle.rootfs + "/b")
      symlink("c/c", bundle.rootfs + "/c")
      for destination in ["/a", "/a/x", "/c"] {
        #expect(throws: RuntimeError.self) { try bundle.create(bundle.spec("true", Self.mounts(Self.bind("/bin", destination)))) }
      }
    }

    @Test func aWorkingDirectoryLinkedOutOfTheRootIsMadeInside() throws {
      let bundle = try Bundle()
      let outside = try outside(bundle)
      symlink(outside, bundle.rootfs + "/hole")
      let result = try bundle.run(bundle.spec("pwd -P", [("process.cwd", .string("/hole/made"))]))
      #expect(result.output == outside + "/made\n")
      #expect(try Files.names(in: outside).isEmpty)
    }

    @Test func devicesAndLinksDoNotFollowALinkedParent() throws {
      let bundle = try Bundle()
      let outside = try outside(bundle)
      symlink(outside, bundle.rootfs + "/nodes")
      let device = JSONValue.record([
        ("path", .string("/nodes/null")), ("type", .string("c")), ("major", .integer(1)), ("minor", .integer(3)), ("fileMode", .integer(0o666)),
      ])
      _ = try? bundle.run(bundle.spec("true", [("linux.devices", .array([device]))]))
      #expect(try Files.names(in: outside).isEmpty)
    }

    @Test func aDeviceOverAnExistingFileIsAnError() throws {
      let bundle = try Bundle()
      try Files.writeAtomically(Array("precious".utf8), to: bundle.rootfs + "/tmp/file")
      let device = JSONValue.record([
        ("path", .string("/tmp/file")), ("type", .string("c")), ("major", .integer(1)), ("minor", .integer(3)), ("fileMode", .integer(0o666)),
      ])
      #expect(throws: RuntimeError.self) { try bundle.create(bundle.spec("true", [("linux.devices", .array([device]))])) }
      #expect(try Files.read(bundle.rootfs + "/tmp/file") == Array("precious".utf8))
    }

    @Test func aUserListWithoutEndIsNotRead() throws {
      let bundle = try Bundle()
      // Five GiB that take no space.
      #expect(truncate(bundle.rootfs + "/etc/passwd", 5 << 30) == 0)
      #expect(try bundle.run(bundle.spec("echo $HOME")).output == "/\n")
    }

    // MARK: /proc, /sys and /dev

    @Test(arguments: ["/proc/self/attr", "/proc/sys", "/proc/1", "/proc/sysrq-trigger"])
    func nothingIsBoundInsideProc(_ destination: String) throws {
      let bundle = try Bundle()
      #expect(throws: RuntimeError.self) { try bundle.create(bundle.spec("true", Self.mounts(Self.bind("/dev/null", destination)))) }
    }

    @Test func aMaskedFileIsTheRealNullDevice() throws {
      let bundle = try Bundle()
      // An image whose null device is a link to what must not be shown, and no /dev mounted over it.
      guard case .array(let mounts)? = DefaultSpec.json["mounts"] else { return }
      let kept = mounts.filter { mount in
        guard case .string(let destination)? = mount["destination"] else { return false }
        return !destination.hasPrefix("/dev")
      }
      symlink("/proc/kcore", bundle.rootfs + "/dev/null")
      symlink("busybox", bundle.rootfs + "/bin/chmod")
      let changes: [(String, JSONValue)] = [("mounts", .array(kept)), ("linux.devices", .array([]))]
      // The link is in the way of the default device: that alone may be refused.
      guard let result = try? bundle.run(bundle.spec("stat -c %t:%T /proc/keys; cat /proc/keys | head -c 1 | wc -c", changes)) else { return }
      #expect(result.output.hasPrefix("1:3\n"), "\(result)")
    }

    @Test func theHostsNullDeviceCannotBeChangedThroughAMask() throws {
      let bundle = try Bundle()
      symlink("busybox", bundle.rootfs + "/bin/chmod")
      let before = try Files.status("/dev/null")
      let all = JSONValue.strings(["CAP_FOWNER", "CAP_CHOWN", "CAP_DAC_OVERRIDE"])
      let sets = JSONValue.record([("bounding", all), ("effective", all), ("permitted", all)])
      let result = try bundle.run(bundle.spec("chmod 0 /proc/keys || echo refused; echo x >/proc/keys && echo written", [("process.capabilities", sets)]))
      #expect(result.output.contains("refused\nwritten\n"), "\(result)")
      let after = try Files.status("/dev/null")
      #expect(after.st_mode == before.st_mode && after.st_uid == before.st_uid)
    }

    @Test(arguments: [
      "net..ipv4.ip_forward", "net/../kernel/core_pattern", "net.ipv4/../../kernel/core_pattern", "../../etc/passwd", "kernel.core_pattern",
      "net", "",
    ])
    func aParameterOfTheHostIsNotReached(_ name: String) throws {
      let bundle = try Bundle()
      let before = try Files.read("/proc/sys/kernel/core_pattern")
      #expect(throws: RuntimeError.self) { try bundle.create(bundle.spec("true", [("linux.sysctl", .record([(name, .string("1"))]))])) }
      #expect(try Files.read("/proc/sys/kernel/core_pattern") == before)
    }

    // MARK: the runtime itself

    @Test func theRuntimesFileCannotBeReachedThroughTheProgram() throws {
      let bundle = try Bundle()
      let script = "#!/proc/self/exe\n"
      try Files.writeAtomically(Array(script.utf8), to: bundle.rootfs + "/bin/evil", mode: 0o755)
      // Whatever runs is not writable: the interpreter is the caller's file only where it is sealed, and else does not exist.
      guard let container = try? bundle.create(RuntimeSpec(json: bundle.config(["/bin/evil"]).serialized())) else { return }
      let exe = clinux_open("/proc/\(container.initPID)/exe", O_PATH | O_CLOEXEC, 0)
      _ = try? container.start()
      _ = Bundle.wait(container.initPID)
      if exe >= 0 {
        let file = OwnedFD(adopting: exe)
        // The test's own program is running, hence "text file busy"; a sealed runtime says "read-only file system".
        let again = clinux_open("/proc/self/fd/\(file.raw)", O_WRONLY | O_CLOEXEC, 0)
        #expect(again < 0)
        if again >= 0 { close(again) }
      }
      try container.delete()
    }

    @Test func theSealedCommandRunsFromAReadOnlyMount() throws {
      guard let command = Self.sibling("refrun") else {
        print("skipped: refrun is not built beside the tests")
        return
      }
      let bundle = try Bundle()
      try Files.writeAtomically(bundle.config(["/bin/sleep", "100"]).serialized(), to: bundle.path + "/config.json", mode: 0o644)
      let root = bundle.scratch.path + "/cli"
      let pidFile = bundle.scratch.path + "/pid"
      let create = "exec \(command) --root \(root) create -b \(bundle.path) --pid-file \(pidFile) sealed >/dev/null 2>&1 </dev/null"
      let made = try TestSupport.run(["sh", "-c", create])
      #expect(made.status == 0, "\(made.output)")
      let pid = String(decoding: try Files.read(pidFile), as: UTF8.self)
      let opened = clinux_open("/proc/\(pid)/exe", O_PATH | O_CLOEXEC, 0)
      #expect(opened >= 0)
      let exe = OwnedFD(adopting: opened)
      _ = try TestSupport.run([command, "--root", root, "delete", "--force", "sealed"])
      // Nobody runs it any more; only the mount keeps it from being written.
      #expect(
        Bundle.eventually {
          let again = clinux_open("/proc/self/fd/\(exe.raw)", O_WRONLY | O_CLOEXEC, 0)
          let error = clinux_errno()
          if again >= 0 { close(again) }
          return again < 0 && error == EROFS
        })
    }

    private static func sibling(_ name: String) -> String? {
      var buffer = [CChar](repeating: 0, count: 4096)
      let count = readlink("/proc/self/exe", &buffer, 4095)
      guard count > 0 else { return nil }
      let path = Files.parent(of: String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)) + "/" + name
      return Files.exists(path) ? path : nil
    }

    // MARK: descriptors

    @Test func aWorkingDirectoryThatIsADescriptorOfTheHostIsRefused() throws {
      let bundle = try Bundle()
      let leak = try Files.open("/", O_RDONLY | O_DIRECTORY)
      _ = clinux_fcntl(leak.raw, F_SETFD, 0)
      for number in 3...14 {
        let cwd = "/proc/self/fd/\(number)"
        let result = try? bundle.run(bundle.spec("test -e /etc/debian_version && echo escaped", [("process.cwd", .string(cwd))]))
        #expect(result?.output.contains("escaped") != true, "\(cwd)")
        if let container = try? Container.load(root: bundle.root, id: "c") {
          try container.delete(force: true)
          _ = Bundle.wait(container.initPID)
        }
        unlink(bundle.scratch.path + "/out")
      }
      let container = try bundle.create(bundle.spec("sleep 100"))
      try container.start()
      for number in 3...14 {
        _ = try? bundle.exec(container, ["/bin/sh", "-c", "test -e /etc/debian_version && echo escaped"]) { $0.cwd = "/proc/self/fd/\(number)" }
      }
      #expect(try !bundle.printed("exec").contains("escaped"))
    }

    @Test func anAddedProcessInheritsNothing() throws {
      let bundle = try Bundle()
      let leak = try Files.open("/", O_RDONLY | O_DIRECTORY)
      _ = clinux_fcntl(leak.raw, F_SETFD, 0)
      let container = try bundle.create(bundle.spec("sleep 100"))
      try container.start()
      #expect(try bundle.exec(container, ["/bin/ls", "/proc/self/fd"]) == 0)
      #expect(try bundle.printed("exec").split(separator: "\n").count <= 4)
    }

    // MARK: privileges

    @Test func nothingIsInheritableUnlessAsked() throws {
      let bundle = try Bundle()
      symlink("busybox", bundle.rootfs + "/bin/grep")
      let container = try bundle.create(bundle.spec("grep CapInh /proc/self/status; sleep 100"))
      try container.start()
      #expect(try bundle.exec(container, ["/bin/grep", "CapInh", "/proc/self/status"]) == 0)
      _ = try Bundle.eventually { try bundle.printed().hasSuffix("\n") }
      for output in ["out", "exec"] { #expect(try bundle.printed(output) == "CapInh:\t0000000000000000\n") }
    }

    @Test func aCapabilityThatCannotBeGrantedIsAWarning() throws {
      let bundle = try Bundle()
      let names = JSONValue.strings(["CAP_KILL", "CAP_FROM_THE_FUTURE"])
      let sets = JSONValue.record([("bounding", names), ("effective", names), ("permitted", names)])
      let container = try bundle.create(bundle.spec("exit 4", [("process.capabilities", sets)]))
      #expect(container.warnings.contains { $0.contains("CAP_FROM_THE_FUTURE") })
      try container.start()
      #expect(Bundle.wait(container.initPID) == 4)
    }

    // MARK: configurations

    @Test func whatIsGivenTwiceIsAnError() throws {
      let bundle = try Bundle()
      let limit = JSONValue.record([("type", .string("RLIMIT_NOFILE")), ("hard", .integer(64)), ("soft", .integer(64))])
      #expect(throws: RuntimeError.self) { try bundle.spec("true", [("process.rlimits", .array([limit, limit]))]) }
      let namespaces = ["pid", "mount", "mount"].map { JSONValue.record([("type", .string($0))]) }
      #expect(throws: RuntimeError.self) { try bundle.spec("true", [("linux.namespaces", .array(namespaces))]) }
    }

    @Test func aConfigurationWithoutEndIsRefused() throws {
      let bundle = try Bundle()
      let path = bundle.path + "/config.json"
      try Files.writeAtomically([], to: path, mode: 0o644)
      #expect(truncate(path, 5 << 30) == 0)
      #expect(throws: RuntimeError.self) { try Container.readSpec(bundle: bundle.path) }
      let deep = Array((String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)).utf8)
      #expect(throws: RuntimeError.self) { try RuntimeSpec(json: deep) }
    }

    @Test func longNamesAreAnErrorOrExact() throws {
      let bundle = try Bundle()
      let source = String(repeating: "s", count: 70_000)
      #expect(throws: RuntimeError.self) { try bundle.create(bundle.spec("true", Self.mounts(Self.bind("/" + source, "/scratch")))) }
      let long = String(repeating: "v", count: 100_000)
      #expect(try bundle.run(bundle.spec("echo ${#LONG}", [("process.env", .strings(["PATH=/bin", "LONG=" + long]))])).output == "100000\n")
    }

    @Test func aFrozenCgroupIsRefused() throws {
      let bundle = try Bundle()
      let spec = try bundle.spec("true")
      let path = "/sys/fs/cgroup/freezer" + (spec.linux.cgroupsPath ?? "/")
      guard Files.exists("/sys/fs/cgroup/freezer") else {
        print("skipped: no v1 freezer here")
        return
      }
      try Files.makeDirectories(path)
      defer { rmdir(path) }
      try CgroupFile.write("FROZEN", path + "/freezer.state")
      #expect(throws: RuntimeError.self) { try bundle.create(spec) }
      #expect(CgroupFile.text(path + "/freezer.state") == "FROZEN")
    }

    @Test(arguments: ["/../../escaped", "../escaped", "a/../../b"]) func aCgroupAboveTheRootIsRefused(_ path: String) throws {
      let bundle = try Bundle()
      #expect(throws: RuntimeError.self) { try bundle.create(bundle.spec("true", [("linux.cgroupsPath", .string(path))])) }
    }

    @Test func aFailingPoststartHookEndsTheContainer() throws {
      let bundle = try Bundle()
      let hook = JSONValue.record([("path", .string("/bin/false"))])
      let container = try bundle.create(bundle.spec("sleep 100", [("hooks.poststart", .array([hook]))]))
      #expect(throws: RuntimeError.self) { try container.start() }
      #expect(Bundle.wait(container.initPID) == 137)
    }
  }
}
