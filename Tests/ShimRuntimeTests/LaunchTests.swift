import CLinux
import ContainerdAPI
import NIOPosix
import Protocols
import SwiftProtobuf
import SystemKit
import TestSupport
import Testing

@testable import ShimRuntime

@Suite struct LaunchReplyTests {
  @Test(arguments: [
    ("unix:///run/containerd/s/abc", ShimEndpoint(address: "unix:///run/containerd/s/abc")),
    ("unix:///run/containerd/s/abc\n", ShimEndpoint(address: "unix:///run/containerd/s/abc")),
    ("/run/containerd/s/abc", ShimEndpoint(address: "unix:///run/containerd/s/abc")),
    (#"{"version":2,"address":"unix:///s","protocol":"ttrpc"}"#, ShimEndpoint(version: 2, address: "unix:///s")),
    (#"{"version":3,"address":"unix:///s","protocol":"ttrpc"}"#, ShimEndpoint(version: 3, address: "unix:///s")),
    ("\u{08}\u{03}\u{12}\u{09}unix:///s\u{1a}\u{05}ttrpc", ShimEndpoint(version: 3, address: "unix:///s")),
  ])
  func everyGenerationsAnswerIsUnderstood(_ output: String, _ expected: ShimEndpoint) throws {
    #expect(try LaunchReply.parse(Array(output.utf8)) == expected)
  }

  @Test(arguments: [
    ("", ContainerdError.Code.unavailable),
    ("  \n", .unavailable),
    ("panic: runtime error", .unavailable),
    ("unix://relative", .unavailable),
    ("unix:///a\nunix:///b", .unavailable),
    ("{", .unavailable),
    (#"{"version":2}"#, .unavailable),
    (#"{"version":2,"address":"unix:///s","protocol":"grpc"}"#, .notImplemented),
    (#"{"version":9,"address":"unix:///s","protocol":"ttrpc"}"#, .notImplemented),
    (#"{"version":2,"address":"vsock://3:1","protocol":"ttrpc"}"#, .unavailable),
  ])
  func anythingElseIsRefused(_ output: String, _ code: ContainerdError.Code) {
    do {
      let endpoint = try LaunchReply.parse(Array(output.utf8))
      Issue.record("\(endpoint)")
    } catch {
      #expect(error.code == code, "\(error)")
    }
  }

  @Test func theServiceFollowsTheVersion() {
    #expect(ShimEndpoint(version: 2, address: "unix:///s").service == "containerd.task.v2.Task")
    #expect(ShimEndpoint(version: 3, address: "unix:///s").service == "containerd.task.v3.Task")
    #expect(ShimEndpoint(address: "unix:///s").socketPath == "/s")
  }
}

@Suite struct ShimBinaryTests {
  @Test(arguments: [
    ("io.containerd.runc.v2", "containerd-shim-ref-v2"), ("io.containerd.ref.v2", "containerd-shim-ref-v2"),
    ("io.containerd.kata.v2", "containerd-shim-kata-v2"), ("a.b.wasm-edge.v1", "containerd-shim-wasm-edge-v1"),
    ("/usr/bin/containerd-shim-runc-v2", "/usr/bin/containerd-shim-runc-v2"),
  ])
  func namesBecomePrograms(_ runtime: String, _ program: String) throws {
    #expect(try ShimBinary.program(for: runtime, shims: ShimRuntime.Configuration.defaultShims) == program)
  }

  @Test(arguments: ["", "runc", "io..v2", ".runc.v2", "io.containerd.runc.", "a.b/../c.v1", "/usr/../bin/x", "a b.c.v1"])
  func otherNamesAreRefused(_ runtime: String) {
    #expect(throws: ContainerdError.self) { try ShimBinary.program(for: runtime, shims: [:]) }
  }

  @Test func theDaemonsDirectoryComesFirst() throws {
    let directory = ScratchDirectory("shims")
    for name in ["daemon", "path"] {
      try Files.makeDirectories("\(directory.path)/\(name)")
      try Files.writeAtomically([], to: "\(directory.path)/\(name)/containerd-shim-x-v1", mode: 0o755)
    }
    var configuration = ShimRuntime.Configuration(state: "/s", root: "/r", address: "/a", executable: directory.path + "/daemon/containerd-ref")
    let found = try ShimBinary(configuration: configuration, searchPath: directory.path + "/path").path(for: "io.y.x.v1")
    #expect(found == directory.path + "/daemon/containerd-shim-x-v1")
    configuration.executable = "/nowhere/containerd-ref"
    let second = try ShimBinary(configuration: configuration, searchPath: ":.:" + directory.path + "/path").path(for: "io.y.x.v1")
    #expect(second == directory.path + "/path/containerd-shim-x-v1")
  }

  @Test func whatIsNotExecutableIsNotAShim() throws {
    let directory = ScratchDirectory("shims")
    try Files.writeAtomically([], to: directory.path + "/containerd-shim-x-v1", mode: 0o644)
    let configuration = ShimRuntime.Configuration(state: "/s", root: "/r", address: "/a", executable: directory.path + "/d")
    #expect(throws: ContainerdError.self) { try ShimBinary(configuration: configuration, searchPath: "").path(for: "io.y.x.v1") }
    #expect(throws: ContainerdError.self) { try ShimBinary(configuration: configuration, searchPath: "").path(for: "/etc/passwd") }
  }
}

@Suite struct ChildProcessTests {
  private let directory = ScratchDirectory("child")

  private func child(_ script: String, input: [UInt8] = []) -> ChildProcess {
    ChildProcess(
      arguments: ["/bin/sh", "-c", script], environment: ["PATH=/usr/bin:/bin", "KEY=value"], directory: directory.path, input: input)
  }

  @Test func bothStreamsAndTheStatusAreCollected() throws {
    let result = try child("echo out; echo err >&2; exit 3").run(timeout: .seconds(10))
    #expect(result.status == 3)
    #expect(String(decoding: result.output, as: UTF8.self) == "out\n")
    #expect(String(decoding: result.errors, as: UTF8.self) == "err\n")
  }

  @Test func itRunsInItsDirectoryWithItsEnvironmentAndInput() throws {
    let result = try child("pwd; echo $KEY; cat; ls -A", input: Array("input\n".utf8)).run(timeout: .seconds(10))
    #expect(String(decoding: result.output, as: UTF8.self) == "\(directory.path)\nvalue\ninput\n")
  }

  @Test func itLeadsAProcessGroupAndInheritsNothing() throws {
    let leak = open("/dev/null", O_RDONLY)  // deliberately not close-on-exec
    defer { close(leak) }
    let result = try child("cut -d' ' -f1,5 /proc/$$/stat; ls /proc/$$/fd | tr '\\n' ' '; grep SigBlk /proc/self/status").run(timeout: .seconds(10))
    let lines = String(decoding: result.output, as: UTF8.self).split(separator: "\n")
    try #require(lines.count == 2, "\(lines)")
    let ids = lines[0].split(separator: " ")
    #expect(ids[0] == ids[1])
    #expect(!lines[1].contains(" \(leak) "), "descriptors: \(lines[1])")
    #expect(lines[1].hasSuffix("0000000000000000"), "blocked signals: \(lines[1])")
  }

  @Test func aServerThatItLeavesBehindIsNotWaitedFor() throws {
    // Waiting for the one left behind would end in the timeout's error.
    let result = try child("sleep 90 & echo unix:///s").run(timeout: .seconds(60))
    #expect(String(decoding: result.output, as: UTF8.self) == "unix:///s\n")
  }

  @Test func oneThatTakesTooLongIsKilled() {
    #expect {
      try child("sleep 30").run(timeout: .milliseconds(100))
    } throws: {
      ($0 as? ContainerdError)?.code == .deadlineExceeded
    }
  }

  @Test func oneThatPrintsWithoutEndIsKilled() {
    #expect {
      try child("cat /dev/zero").run(timeout: .seconds(20))
    } throws: {
      ($0 as? ContainerdError)?.code == .resourceExhausted
    }
  }

  @Test func oneThatCannotBeStartedSaysWhy() {
    let missing = ChildProcess(arguments: ["/nowhere/shim"], environment: [], directory: directory.path, input: [])
    #expect(throws: SystemError(errno: ENOENT, operation: "spawn", object: "/nowhere/shim")) { try missing.run(timeout: .seconds(5)) }
  }
}

@Suite struct ShimCommandTests {
  private func command(debug: Bool) throws -> ShimCommand {
    let configuration = ShimRuntime.Configuration(state: "/s", root: "/r", address: "/run/c.sock", executable: "/bin/daemon", debug: debug)
    let bundle = try Bundle(TaskKey(namespace: "ns", id: "c1"), configuration: configuration)
    return ShimCommand(binary: "/bin/shim", bundle: bundle, configuration: configuration)
  }

  @Test func argumentsAreContainerds() throws {
    #expect(
      try command(debug: true).arguments([], action: "start") == [
        "/bin/shim", "-namespace", "ns", "-address", "/run/c.sock", "-publish-binary", "/bin/daemon", "-id", "c1", "-debug", "start",
      ])
    #expect(
      try command(debug: false).arguments(["-bundle", "/b"], action: "delete") == [
        "/bin/shim", "-namespace", "ns", "-address", "/run/c.sock", "-publish-binary", "/bin/daemon", "-id", "c1", "-bundle", "/b", "delete",
      ])
  }

  @Test func environmentIsContainerds() throws {
    #expect(
      try command(debug: false).environment(searchPath: "/bin") == [
        "TTRPC_ADDRESS=/run/c.sock.ttrpc", "GRPC_ADDRESS=/run/c.sock", "NAMESPACE=ns", "MAX_SHIM_VERSION=2", "GOMAXPROCS=2", "PATH=/bin",
      ])
  }
}
