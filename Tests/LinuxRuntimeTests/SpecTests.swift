import Testing

@testable import LinuxRuntime

@Suite struct SpecTests {
  private func spec(_ text: String) throws -> RuntimeSpec { try RuntimeSpec(json: Array(text.utf8)) }

  @Test func theDefaultConfigurationIsValid() throws {
    let spec = try RuntimeSpec(json: DefaultSpec.json.serialized())
    #expect(spec.process?.args == ["sh"])
    #expect(spec.linux.makes(.network))
    #expect(!spec.linux.makes(.user))
    #expect(spec.mounts.count == 7)
  }

  @Test(arguments: [
    (#"{}"#, "ociVersion"), (#"{"ociVersion":"invalid"}"#, "ociVersion"), (#"{"ociVersion":"2.0.0"}"#, "ociVersion"),
    (#"{"ociVersion":"1.0.0","process":{"cwd":"x"}}"#, "process.cwd"),
    (#"{"ociVersion":"1.0.0","process":{"cwd":"/","user":{"uid":-1}}}"#, "process.user.uid"),
    (#"{"ociVersion":"1.0.0","process":{"cwd":"/","user":{"uid":4294967296}}}"#, "process.user.uid"),
    (#"{"ociVersion":"1.0.0","process":{"cwd":"/","rlimits":[{"type":"RLIMIT_X","soft":1,"hard":1}]}}"#, "RLIMIT_X"),
    (
      #"{"ociVersion":"1.0.0","process":{"cwd":"/","rlimits":[{"type":"RLIMIT_CORE","soft":1,"hard":1},{"type":"RLIMIT_CORE","soft":1,"hard":1}]}}"#,
      "given twice"
    ),
    (#"{"ociVersion":"1.0.0","linux":{"namespaces":[{"type":"pid"},{"type":"pid"}]}}"#, "given twice"),
    (#"{"ociVersion":"1.0.0","linux":{"namespaces":[{"type":"moon"}]}}"#, "moon"),
    (#"{"ociVersion":"1.0.0","linux":{"namespaces":[{"type":"user"}]}}"#, "uidMappings"),
    (#"{"ociVersion":"1.0.0","hostname":"x"}"#, "uts"), (#"{"ociVersion":"1.0.0","mounts":[{"source":"x"}]}"#, "destination"),
    (#"{"ociVersion":"1.0.0","hooks":{"prestart":[{"path":"relative"}]}}"#, "hooks.prestart[0].path"),
    (#"{"ociVersion":"1.0.0","hooks":{"prestart":[{"path":"/x","timeout":0}]}}"#, "timeout"),
    (#"{"ociVersion":"1.0.0","linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"}}}"#, "SCMP_ACT_NOTIFY"),
  ])
  func namesThePlaceOfAMistake(_ text: String, _ place: String) {
    do {
      _ = try spec(text)
      Issue.record("accepted: \(text)")
    } catch let error as RuntimeError {
      #expect(error.kind == .invalid)
      #expect(error.message.contains(place), "\(error.message)")
    } catch { Issue.record("\(error)") }
  }

  @Test func ignoresWhatItDoesNotKnow() throws {
    _ = try spec(#"{"ociVersion":"1.9.0-dev","unknown":{"a":1},"process":{"cwd":"/","new":true}}"#)
  }

  @Test func sortsMountOptions() {
    let options = MountOptions(["rbind", "ro", "nosuid", "relatime", "rprivate", "rro", "mode=755", "sync", "defaults"])
    #expect(options.bind && options.recursiveBind)
    #expect(options.set == 3)
    #expect(options.clear == 0x73)
    #expect(options.recursiveSet == 1 && options.recursiveClear == 1)
    #expect(options.propagation == [1 << 18 | 1 << 14])
    #expect(options.data == ["mode=755"])
    #expect(options.flags == 1 | 2 | 16 | 1 << 21)
    #expect(MountOptions(["ro", "rw"]).flags == 0)
  }

  @Test func mapsCgroupPaths() throws {
    #expect(try CgroupPath.resolve(nil, id: "c", systemd: false) == "/c")
    #expect(try CgroupPath.resolve("/a//b/", id: "c", systemd: false) == "/a/b")
    #expect(try CgroupPath.resolve("a/b", id: "c", systemd: false) == "/a/b")
    #expect(try CgroupPath.resolve("user-1.slice:cri:c", id: "c", systemd: true) == "/user.slice/user-1.slice/cri-c.scope")
    #expect(try CgroupPath.resolve(":cri:c", id: "c", systemd: true) == "/system.slice/cri-c.scope")
    #expect(throws: RuntimeError.self) { try CgroupPath.resolve("/a/../b", id: "c", systemd: false) }
  }

  @Test func readsTheHierarchiesOfAHybridHost() {
    let found = CgroupLayout.parse(
      """
      32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
      40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
      41 31 0:38 / /sys/fs/cgroup/un\\040ified rw,relatime shared:1 - cgroup2 cgroup2 rw
      """)
    #expect(found.map(\.controllers) == [["cpu", "cpuacct"], ["name=systemd"], []])
    #expect(found[2].unified && found[2].mountPoint == "/sys/fs/cgroup/un ified")
  }

  @Test func capabilitiesAreCutWithAWarning() throws {
    var wanted = ProcessSpec.CapabilitySets()
    wanted.bounding = ["CAP_CHOWN", "CAP_KILL", "CAP_MOON"]
    wanted.permitted = ["CAP_CHOWN", "CAP_KILL"]
    wanted.effective = ["CAP_CHOWN"]
    wanted.ambient = ["CAP_CHOWN"]
    var warnings: [String] = []
    let sets = Capabilities.resolve(wanted, permitted: 1, bounding: 1 | 1 << 5, warn: { warnings.append($0) })
    #expect(sets.bounding == 1 | 1 << 5)
    #expect(sets.permitted == 1 && sets.effective == 1)
    #expect(sets.inheritable == 0)
    // Ambient without inheritable is impossible; the kernel would refuse it.
    #expect(sets.ambient == 0)
    #expect(warnings.contains { $0.contains("CAP_MOON") } && warnings.contains { $0.contains("CAP_KILL") })
  }

  @Test func sysctlsMustBelongToANamespaceOfTheContainer() throws {
    let own = try spec(#"{"ociVersion":"1.0.0","linux":{"namespaces":[{"type":"network"},{"type":"ipc"}]}}"#).linux
    let host = try spec(#"{"ociVersion":"1.0.0"}"#).linux
    #expect(try Sysctl.path("net.ipv4.ip_forward", linux: own, hasHostname: false) == "/proc/sys/net/ipv4/ip_forward")
    #expect(try Sysctl.path("net/ipv4/conf/eth0.1/x", linux: own, hasHostname: false) == "/proc/sys/net/ipv4/conf/eth0.1/x")
    #expect(try Sysctl.path("kernel.shmmax", linux: own, hasHostname: false) == "/proc/sys/kernel/shmmax")
    for name in ["kernel.core_pattern", "net/../kernel/core_pattern", "vm.swappiness", "net", "net..x"] {
      #expect(throws: RuntimeError.self) { try Sysctl.path(name, linux: own, hasHostname: false) }
    }
    #expect(throws: RuntimeError.self) { try Sysctl.path("net.ipv4.ip_forward", linux: host, hasHostname: false) }
  }

  @Test(arguments: ["", ".", "..", "a/b", "a b", "ü", String(repeating: "a", count: 1025)])
  func refusesIds(_ id: String) {
    #expect(throws: RuntimeError.self) { try StateDirectory(root: "/tmp", id: id) }
  }

  @Test func compilesSeccompFilters() throws {
    let text = #"""
      {"ociVersion":"1.0.0","linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],
      "flags":["SECCOMP_FILTER_FLAG_LOG"],
      "syscalls":[{"names":["mkdir","nosuchcall"],"action":"SCMP_ACT_ERRNO","errnoRet":1},
      {"names":["personality"],"action":"SCMP_ACT_KILL_PROCESS","args":[{"index":0,"value":8,"op":"SCMP_CMP_MASKED_EQ","valueTwo":8}]}]}}}
      """#
    let filter = try SeccompFilter(#require(try spec(text).linux.seccomp))
    #expect(filter.program.count % 8 == 0 && filter.program.count > 80)
    #expect(filter.flags == 2)
    #expect(throws: RuntimeError.self) { try SeccompFilter.action("SCMP_ACT_ALLOW", errnoRet: 1) }
  }
}
