import CLinux
import Foundation
import SystemKit
import TestSupport
import Testing

@Suite struct MountOptionTests {
  private func flag(_ value: Int) -> UInt { UInt(truncatingIfNeeded: value) }

  @Test func wordsOfMountBecomeFlagsAndTheRestIsData() {
    let parsed = Mounts.parse(["ro", "nosuid", "nodev", "lowerdir=/a:/b", "", "index=off"])
    #expect(parsed.flags == flag(MS_RDONLY) | flag(MS_NOSUID) | flag(MS_NODEV))
    #expect(parsed.data == ["lowerdir=/a:/b", "index=off"], "data keeps its order")
    #expect(parsed.propagation.isEmpty && !parsed.isBind)
  }

  @Test(arguments: [
    (["ro", "rw"], UInt(0)), (["rw", "ro"], UInt(MS_RDONLY)), (["nosuid", "suid"], UInt(0)), (["noexec", "exec", "noexec"], UInt(MS_NOEXEC)),
    (["noatime", "atime"], UInt(0)), (["defaults", "nodev"], UInt(MS_NODEV)), (["sync", "async"], UInt(0)),
  ]) func theLastWordWins(_ options: [String], _ flags: UInt) {
    let parsed = Mounts.parse(options)
    #expect(parsed.flags == flags && parsed.data.isEmpty && parsed.propagation.isEmpty)
  }

  @Test func bindsAndPropagationAreKeptApart() {
    let parsed = Mounts.parse(["rbind", "rprivate", "rw"])
    #expect(parsed.isBind && parsed.flags == flag(MS_BIND) | flag(MS_REC))
    #expect(parsed.propagation == [flag(MS_PRIVATE) | flag(MS_REC)])
    #expect(Mounts.parse(["slave", "unbindable"]).propagation == [flag(MS_SLAVE), flag(MS_UNBINDABLE)])
  }

  @Test func dataThatFitsNoPageIsAnErrorAndNeverCut() {
    let options = (0..<400).map { "option\($0)=value\($0)" }
    do throws(SystemError) {
      try Mounts.mount(type: "tmpfs", source: "tmpfs", target: "/nowhere", options: options)
      Issue.record("a mount with \(options.joined(separator: ",").utf8.count) bytes of options succeeded")
    } catch {
      #expect(error.errno == E2BIG)
      #expect(error.description.contains("tmpfs at /nowhere"))
    }
  }

  @Test(.enabled(if: Needs.root, "needs root: run the tests as root")) func anOverlayOfMoreThanOnePageOfOptionsIsMountedWhole() async throws {
    let scratch = ScratchDirectory("many-layers")
    var lower: [String] = []
    for number in 0..<200 {
      let directory = "\(scratch.path)/a-rather-long-name-for-layer-\(number)"
      try Files.makeDirectories(directory)
      try Files.writeAtomically(Array("\(number)".utf8), to: "\(directory)/file-\(number)")
      lower.append(directory)
    }
    for name in ["upper", "work", "merged"] { try Files.makeDirectories("\(scratch.path)/\(name)") }
    let options = ["lowerdir=" + lower.joined(separator: ":"), "upperdir=\(scratch.path)/upper", "workdir=\(scratch.path)/work"]
    #expect(options.joined(separator: ",").utf8.count > 2 * 4096)
    try Mounts.mount(type: "overlay", source: "overlay", target: "\(scratch.path)/merged", options: options)
    let names = try Files.names(in: "\(scratch.path)/merged")
    let bottom = try Files.read("\(scratch.path)/merged/file-199")
    try Mounts.unmount("\(scratch.path)/merged")
    #expect(Set(names) == Set((0..<200).map { "file-\($0)" }))
    #expect(bottom == Array("199".utf8))
  }

  @Test(.enabled(if: Needs.root, "needs root: run the tests as root")) func aMountThatIsInUseForAMomentIsWaitedFor() throws {
    let scratch = ScratchDirectory("busy")
    let target = "\(scratch.path)/mnt"
    try Files.makeDirectories(target)
    try Mounts.mount(type: "tmpfs", source: "tmpfs", target: target, options: [])
    let held = try Files.open(target, O_RDONLY | O_DIRECTORY)
    #expect(throws: SystemError(errno: EBUSY, operation: "umount", object: target)) { try Mounts.unmount(target) }
    let raw = held.release()
    Thread.detachNewThread {
      usleep(200_000)
      close(raw)
    }
    try Mounts.unmount(target)
    #expect(umount2(target, 0) != 0)
  }
}
