import CLinux
import Protocols
import SystemKit
import Testing

@testable import ShimRuntime

@Suite struct BundleTests {
  private let scene = Scene()

  private func mode(_ path: String) -> (type: mode_t, bits: mode_t) {
    var info = stat()
    #expect(lstat(path, &info) == 0, "\(path)")
    return (info.st_mode & mode_t(S_IFMT), info.st_mode & 0o7777)
  }

  @Test func layoutIsContainerds() throws {
    let bundle = try scene.bundle("c1")
    let spec = Array(#"{"ociVersion": "1.0.2",   "x": 1}"#.utf8)
    try bundle.make(spec: spec)
    #expect(bundle.path == scene.state + "/io.containerd.runtime.v2.task/n/c1")
    #expect(mode(bundle.path) == (mode_t(S_IFDIR), 0o700))
    #expect(mode(bundle.rootfs) == (mode_t(S_IFDIR), 0o711))
    #expect(mode(bundle.log) == (mode_t(S_IFIFO), 0o600))
    #expect(mode(bundle.path + "/work").type == mode_t(S_IFLNK))
    #expect(try Files.read(bundle.path + "/config.json") == spec, "the spec is kept byte for byte")
    #expect(Set(try Files.names(in: bundle.path)) == ["config.json", "rootfs", "work", "log"])
    #expect(Files.exists(bundle.workPath))
    try bundle.remove()
    #expect(try Files.names(in: Files.parent(of: bundle.path)) == [])
    #expect(!Files.exists(bundle.workPath))
    try bundle.remove()  // what is absent is fine
  }

  @Test func aSecondBundleOfTheSameNameIsRefusedAndTheFirstStays() throws {
    let bundle = try scene.bundle("c1")
    try bundle.make(spec: [])
    #expect(throws: ContainerdError.alreadyExists("bundle \(bundle.path)")) { try bundle.make(spec: [1]) }
    #expect(try Files.read(bundle.path + "/config.json") == [])
  }

  @Test func aFailureLeavesNothing() throws {
    let bundle = try scene.bundle("c1")
    let work = Files.parent(of: bundle.workPath)
    try Files.makeDirectories(Files.parent(of: work))
    try Files.writeAtomically([], to: work)  // a file where a directory should be
    #expect(throws: (any Error).self) { try bundle.make(spec: []) }
    #expect(!Files.exists(bundle.path))
  }

  @Test(arguments: ["", "..", "a/b", "-a", "a\u{0}b", String(repeating: "a", count: 77)])
  func namesThatCannotBePathComponentsAreRefused(_ name: String) {
    #expect(throws: ContainerdError.self) { try scene.bundle(name) }
    #expect(throws: ContainerdError.self) { try scene.bundle("a", namespace: name) }
  }

  @Test func recordsAreReadAsTheyWereWritten() throws {
    let bundle = try scene.bundle("c1")
    try bundle.make(spec: [])
    #expect(try bundle.shim() == nil)
    #expect(try bundle.endpoint() == nil)
    #expect(try bundle.exit() == nil)
    try bundle.write(shim: "/bin/shim")
    try bundle.write(ShimEndpoint(address: "unix:///s"))
    let exit = ExitStatus(pid: 7, code: 137, exitedAt: Timestamp(seconds: 5, nanoseconds: 6))
    try bundle.write(exit: exit)
    #expect(try bundle.shim() == "/bin/shim")
    #expect(try bundle.endpoint() == ShimEndpoint(address: "unix:///s"))
    #expect(try bundle.exit() == exit)
    #expect(!Files.exists(bundle.path + "/bootstrap.json"))
    try bundle.write(ShimEndpoint(version: 3, address: "unix:///s"))
    #expect(try bundle.endpoint() == ShimEndpoint(version: 3, address: "unix:///s"))
  }

  @Test func aMappedRootGroupMayEnter() {
    func group(_ json: String) -> gid_t? { MappedGroup.ofRoot(inSpec: Array(json.utf8)) }
    #expect(group(#"{"linux":{"gidMappings":[{"containerID":0,"hostID":1000,"size":65536}]}}"#) == 1000)
    #expect(group(#"{"linux":{"gidMappings":[{"containerID":1,"hostID":1000,"size":65536}]}}"#) == nil)
    #expect(group(#"{"linux":{"gidMappings":[{"containerID":0,"hostID":0,"size":65536}]}}"#) == nil)
    #expect(group(#"{"linux":{}}"#) == nil)
    #expect(group("nonsense") == nil)
  }
}
