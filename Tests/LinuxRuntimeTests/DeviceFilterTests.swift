import CInit
import CLinux
import SystemKit
import Testing

@testable import LinuxRuntime

@Suite struct DeviceFilterTests {
  /// Runs a program as the kernel would, for what DeviceProgram emits. r0…r5 are enough for it.
  private func allows(_ program: [UInt64], type: UInt32, access: UInt32, major: UInt32, minor: UInt32) -> Bool {
    var registers = [UInt64](repeating: 0, count: 6)
    let context: [Int16: UInt32] = [0: access << 16 | type, 4: major, 8: minor]
    var at = 0
    while at < program.count {
      let word = program[at]
      let code = UInt8(truncatingIfNeeded: word)
      let destination = Int(word >> 8 & 15)
      let source = Int(word >> 12 & 15)
      let offset = Int16(bitPattern: UInt16(truncatingIfNeeded: word >> 16))
      let immediate = UInt32(word >> 32)
      at += 1
      switch code {
      case 0x61: registers[destination] = UInt64(context[offset] ?? 0)
      case 0xBC: registers[destination] = registers[source] & 0xFFFF_FFFF
      case 0xB4: registers[destination] = UInt64(immediate)
      case 0x54: registers[destination] &= UInt64(immediate)
      case 0x74: registers[destination] >>= UInt64(immediate)
      case 0x55: if registers[destination] != UInt64(immediate) { at += Int(offset) }
      case 0x15: if registers[destination] == UInt64(immediate) { at += Int(offset) }
      case 0x5D: if registers[destination] != registers[source] { at += Int(offset) }
      case 0x95: return registers[0] == 1
      default: Issue.record("instruction \(code)"); return false
      }
    }
    Issue.record("no verdict")
    return false
  }

  @Test func theLastMatchingRuleDecides() {
    let deny = ResourcesSpec.DeviceRule(allow: false, type: "a", major: nil, minor: nil, access: "rwm")
    let disk = ResourcesSpec.DeviceRule(allow: true, type: "b", major: 8, minor: nil, access: "r")
    let program = DeviceProgram.compile([deny, disk] + DeviceRules.always)
    #expect(allows(program, type: 2, access: 6, major: 1, minor: 3))
    #expect(!allows(program, type: 2, access: 2, major: 1, minor: 11))
    #expect(allows(program, type: 2, access: 1, major: 1, minor: 11))
    #expect(allows(program, type: 1, access: 2, major: 8, minor: 1))
    #expect(!allows(program, type: 1, access: 6, major: 8, minor: 1))
    #expect(!allows(program, type: 1, access: 2, major: 9, minor: 1))
    #expect(DeviceRules.line(deny) == "a" && DeviceRules.line(disk) == "b 8:* r")
  }

  private static var unified: String? { (try? CgroupLayout.detect())?.first(where: \.unified)?.mountPoint }
  private static var possible: Bool { geteuid() == 0 && unified != nil }

  @Test(.enabled(if: possible, "needs root and a unified cgroup hierarchy")) func theKernelAcceptsAndReplacesIt() throws {
    let path = (Self.unified ?? "") + "/ref-tests-devices-\(getpid())"
    try Files.makeDirectories(path)
    defer { rmdir(path) }
    let directory = try Files.open(path, O_RDONLY | O_DIRECTORY)
    for rules in [DeviceRules.always, Array(DeviceRules.always.dropLast())] {
      let program = DeviceProgram.compile(rules)
      #expect(program.withUnsafeBufferPointer { cinit_attach_device_filter(directory.raw, $0.baseAddress, UInt32($0.count)) } == 0)
    }
  }
}
