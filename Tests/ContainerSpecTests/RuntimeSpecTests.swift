import ContainerSpec
import Foundation
import OCI
import Protocols
import Testing

@Suite struct RuntimeSpecTests {
  private func request(_ change: (inout SpecRequest) -> Void = { _ in }) throws -> SpecRequest {
    var request = SpecRequest(namespace: "default", id: "t1", image: try Self.image(#""Env":["PATH=/bin:/usr/bin"],"Cmd":["/bin/sh"]"#))
    request.command = ["sh", "-c", "echo hi; exit 3"]
    change(&request)
    return request
  }

  static func image(_ config: String) throws -> ImageConfig {
    try ImageConfig(parsing: Array(#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]},"config":{\#(config)}}"#.utf8))
  }

  private func json(_ bytes: [UInt8]) throws -> JSONValue { try JSONDecoder().decode(JSONValue.self, from: Data(bytes)) }

  @Test func theSpecIsWhatCtrSends() throws {
    let packed = try RuntimeSpec(request()).packed()
    #expect(packed.typeURL == "types.containerd.io/opencontainers/runtime-spec/1/Spec")
    #expect(try json(packed.value) == json(Array(goldenSpec.utf8)))
  }

  @Test func aTerminalAddsTheFlagAndTheTypeOfTerminal() throws {
    let process = try RuntimeSpec(request { $0.terminal = true }).process
    #expect(process.terminal == true)
    #expect(process.env == ["PATH=/bin:/usr/bin", "TERM=xterm"])
  }

  @Test func withoutACommandEntrypointAndCommandOfTheImageRun() throws {
    let spec = try RuntimeSpec(
      request {
        $0.command = []
        $0.image.entrypoint = ["/init", "--"]
        $0.image.command = ["serve"]
      })
    #expect(spec.process.args == ["/init", "--", "serve"])
  }

  @Test func aCommandReplacesTheEntrypointToo() throws {
    let spec = try RuntimeSpec(
      request {
        $0.command = ["id"]
        $0.image.entrypoint = ["/init"]
      })
    #expect(spec.process.args == ["id"])
  }

  @Test func nothingToRunIsAnErrorThatNamesTheContainer() throws {
    let empty = try request {
      $0.command = []
      $0.image.command = []
    }
    #expect(throws: ContainerdError.invalidArgument("container t1: no command is given, and the image names none")) { try RuntimeSpec(empty) }
  }

  @Test func variablesReplaceInPlaceAppendAndRemove() throws {
    let spec = try RuntimeSpec(
      request {
        $0.image.environment = ["A=1", "B=2", "C=3"]
        $0.environment = ["B=two", "D=4", "A", "B=zwei", "EMPTY="]
      })
    #expect(spec.process.env == ["B=zwei", "C=3", "D=4", "EMPTY="])
  }

  @Test func anImageWithoutEnvironmentGetsAPath() throws {
    let spec = try RuntimeSpec(request { $0.image.environment = [] })
    #expect(spec.process.env == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
  }

  @Test func theWorkingDirectoryIsTheImagesUnlessGiven() throws {
    #expect(try RuntimeSpec(request { $0.image.workingDirectory = "/srv" }).process.cwd == "/srv")
    let given = try RuntimeSpec(
      request {
        $0.image.workingDirectory = "/srv"
        $0.workingDirectory = "/tmp"
      })
    #expect(given.process.cwd == "/tmp")
    #expect(throws: ContainerdError.self) { try RuntimeSpec(request { $0.workingDirectory = "tmp" }) }
  }

  @Test func theHostsNetworkBringsItsNameHostsAndResolver() throws {
    let spec = try RuntimeSpec(request { $0.hostNetworkOf = "machine" })
    #expect(spec.linux.namespaces.map(\.type) == ["pid", "ipc", "uts", "mount"])
    #expect(spec.process.env.contains("HOSTNAME=machine"))
    #expect(spec.mounts.suffix(2).map(\.destination) == ["/etc/hosts", "/etc/resolv.conf"])
  }

  @Test func aNamespaceThatExistsIsJoinedByPath() throws {
    let spec = try RuntimeSpec(request { $0.joinedNamespaces = ["network": "/run/netns/blue"] })
    #expect(spec.linux.namespaces.filter { $0.type == "network" } == [.init(type: "network", path: "/run/netns/blue")])
    #expect(throws: ContainerdError.self) { try RuntimeSpec(request { $0.joinedNamespaces = ["network": "blue"] }) }
  }

  @Test func limitsBecomeResources() throws {
    let spec = try RuntimeSpec(
      request {
        $0.memoryLimit = 64 << 20
        $0.cpus = 1.5
      })
    #expect(spec.linux.resources.memory?.limit == 67_108_864)
    #expect(spec.linux.resources.cpu.quota == 150_000)
    #expect(spec.linux.resources.cpu.period == 100_000)
    for cpus in [0, -1, .nan, .infinity] { #expect(throws: ContainerdError.self) { try RuntimeSpec(request { $0.cpus = cpus }) } }
    #expect(throws: ContainerdError.self) { try RuntimeSpec(request { $0.memoryLimit = 0 }) }
  }

  @Test func capabilitiesAreAddedAndDropped() throws {
    let spec = try RuntimeSpec(
      request {
        $0.addedCapabilities = ["CAP_SYS_ADMIN", "CAP_CHOWN"]
        $0.droppedCapabilities = ["CAP_MKNOD"]
      })
    let sets = spec.process.capabilities
    #expect(sets.bounding.contains("CAP_SYS_ADMIN") && !sets.bounding.contains("CAP_MKNOD"))
    #expect(sets.bounding.filter { $0 == "CAP_CHOWN" }.count == 1)
    #expect(sets.effective == sets.bounding && sets.permitted == sets.bounding)
    #expect(throws: ContainerdError.self) { try RuntimeSpec(request { $0.addedCapabilities = ["SYS_ADMIN"] }) }
  }

  @Test func aPrivilegedContainerSeesEverythingAndMayUseAllDevices() throws {
    let spec = try RuntimeSpec(
      request {
        $0.privileges = .init(
          capabilities: ["CAP_SYS_ADMIN"], devices: [SpecDevice(path: "/dev/kvm", type: "c", major: 10, minor: 232, fileMode: 0o660, uid: 0, gid: 0)])
      })
    #expect(spec.linux.maskedPaths == nil && spec.linux.readonlyPaths == nil)
    #expect(spec.linux.resources.devices.map(\.access) == ["rwm"] && spec.linux.resources.devices.allSatisfy(\.allow))
    #expect(spec.linux.devices?.map(\.path) == ["/dev/kvm"])
    #expect(spec.mounts.first { $0.type == "sysfs" }?.options == ["nosuid", "noexec", "nodev", "rw"])
    #expect(spec.process.capabilities.bounding == ["CAP_SYS_ADMIN"])
  }

  @Test func readOnlyNewPrivilegesAndAnnotations() throws {
    let spec = try RuntimeSpec(
      request {
        $0.readOnly = true
        $0.allowNewPrivileges = true
        $0.annotations = ["a": "b"]
      })
    #expect(spec.root.readonly == true)
    #expect(spec.process.noNewPrivileges == nil)
    #expect(spec.annotations == ["a": "b"])
  }

  @Test func mountsAreReadAsCtrWritesThem() throws {
    let mount = try SpecMount(parsing: "type=bind,src=/tmp,dst=/host,options=rbind:ro")
    #expect(mount == SpecMount(destination: "/host", type: "bind", source: "/tmp", options: ["rbind", "ro"]))
    for wrong in ["type=bind,src=/tmp", "dst=host", "dst", "dst=/a,colour=red"] {
      #expect(throws: ContainerdError.self, "\(wrong)") { try SpecMount(parsing: wrong) }
    }
  }

  @Test func anExecutedProcessKeepsWhatTheContainersSpecSays() throws {
    let spec =
      #"{"process":{"user":{"uid":7,"gid":7},"args":["init"],"env":["A=1"],"cwd":"/srv","apparmorProfile":"strict","terminal":true,"rlimits":[{"type":"RLIMIT_CORE","hard":18446744073709551615,"soft":0}]}}"#
    var exec = ExecProcess(arguments: ["ls", "-l"])
    exec.environment = ["B=2"]
    let packed = try exec.packed(in: TypedValue(typeURL: RuntimeSpec.typeURL, value: Array(spec.utf8)))
    #expect(packed.typeURL == "types.containerd.io/opencontainers/runtime-spec/1/Process")
    let expected =
      #"{"user":{"uid":7,"gid":7},"args":["ls","-l"],"env":["A=1","B=2"],"cwd":"/srv","apparmorProfile":"strict","rlimits":[{"type":"RLIMIT_CORE","hard":18446744073709551615,"soft":0}]}"#
    #expect(try json(packed.value) == json(Array(expected.utf8)))
  }

  @Test func aSpecWithoutProcessCannotBeExecutedIn() {
    #expect(throws: ContainerdError.self) { try ExecProcess(arguments: ["ls"]).packed(in: TypedValue(typeURL: "", value: Array("{}".utf8))) }
  }
}
