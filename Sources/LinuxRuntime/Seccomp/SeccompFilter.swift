import CLinux
import CSeccomp
import SystemKit

/// A filter compiled by libseccomp: the BPF program as the kernel takes it, and the flags to load it with.
struct SeccompFilter {
  let program: [UInt8]
  let flags: UInt64

  private static let architectures: [String: UInt32] = [
    "SCMP_ARCH_NATIVE": 0, "SCMP_ARCH_X86": 0x4000_0003, "SCMP_ARCH_X86_64": 0xC000_003E, "SCMP_ARCH_X32": 0x4000_003E,
    "SCMP_ARCH_ARM": 0x4000_0028, "SCMP_ARCH_AARCH64": 0xC000_00B7, "SCMP_ARCH_MIPS": 0x0000_0008, "SCMP_ARCH_MIPS64": 0x8000_0008,
    "SCMP_ARCH_MIPS64N32": 0xA000_0008, "SCMP_ARCH_MIPSEL": 0x4000_0008, "SCMP_ARCH_MIPSEL64": 0xC000_0008,
    "SCMP_ARCH_MIPSEL64N32": 0xE000_0008, "SCMP_ARCH_PPC": 0x0000_0014, "SCMP_ARCH_PPC64": 0x8000_0015,
    "SCMP_ARCH_PPC64LE": 0xC000_0015, "SCMP_ARCH_S390": 0x0000_0016, "SCMP_ARCH_S390X": 0x8000_0016,
    "SCMP_ARCH_PARISC": 0x0000_000F, "SCMP_ARCH_PARISC64": 0x8000_000F, "SCMP_ARCH_RISCV64": 0xC000_00F3,
  ]
  private static let operators: [String: scmp_compare] = [
    "SCMP_CMP_NE": SCMP_CMP_NE, "SCMP_CMP_LT": SCMP_CMP_LT, "SCMP_CMP_LE": SCMP_CMP_LE, "SCMP_CMP_EQ": SCMP_CMP_EQ,
    "SCMP_CMP_GE": SCMP_CMP_GE, "SCMP_CMP_GT": SCMP_CMP_GT, "SCMP_CMP_MASKED_EQ": SCMP_CMP_MASKED_EQ,
  ]
  private static let loadFlags: [String: UInt64] = [
    "SECCOMP_FILTER_FLAG_TSYNC": 1, "SECCOMP_FILTER_FLAG_LOG": 2, "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
  ]

  static var architectureNames: [String] { architectures.keys.sorted() }
  static var operatorNames: [String] { operators.keys.sorted() }
  static var flagNames: [String] { ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"] }
  static let actionNames = [
    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
    "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
  ]

  static func action(_ name: String, errnoRet: UInt32?) throws(RuntimeError) -> UInt32 {
    let value: UInt32
    switch name {
    case "SCMP_ACT_ERRNO": return 0x0005_0000 | (errnoRet ?? UInt32(EPERM)) & 0xFFFF
    case "SCMP_ACT_TRACE": return 0x7FF0_0000 | (errnoRet ?? UInt32(EPERM)) & 0xFFFF
    case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD": value = 0
    case "SCMP_ACT_KILL_PROCESS": value = 0x8000_0000
    case "SCMP_ACT_TRAP": value = 0x0003_0000
    case "SCMP_ACT_ALLOW": value = 0x7FFF_0000
    case "SCMP_ACT_LOG": value = 0x7FFC_0000
    default: throw RuntimeError(.invalid, "linux.seccomp: \"\(name)\" is not an action")
    }
    if errnoRet != nil { throw RuntimeError(.invalid, "linux.seccomp: \(name) takes no errnoRet") }
    return value
  }

  init(_ spec: SeccompSpec) throws(RuntimeError) {
    func must(_ what: @autoclosure () -> String, _ result: Int32) throws(RuntimeError) {
      if result < 0 { throw RuntimeError(.system, "seccomp: \(what()): \(SystemError(errno: -result, operation: "libseccomp", object: "").reason)") }
    }
    let defaultAction = try Self.action(spec.defaultAction, errnoRet: spec.defaultErrnoRet)
    guard let context = seccomp_init(defaultAction) else { throw RuntimeError(.invalid, "seccomp: default action \(spec.defaultAction) is refused") }
    defer { seccomp_release(context) }
    // runc: the kernel must not require no_new_privs from libseccomp's side; the runtime loads the program itself.
    try must("clear no_new_privs", seccomp_attr_set(context, SCMP_FLTATR_CTL_NNP, 0))
    for name in spec.architectures {
      guard let token = Self.architectures[name] else { throw RuntimeError(.invalid, "linux.seccomp.architectures: \"\(name)\" is not an architecture") }
      let result = seccomp_arch_add(context, token)
      if result != -EEXIST { try must("add architecture \(name)", result) }
    }
    for rule in spec.rules {
      let action = try Self.action(rule.action, errnoRet: rule.errnoRet)
      if action == defaultAction { continue }
      var comparisons: [scmp_arg_cmp] = []
      for argument in rule.args {
        guard let op = Self.operators[argument.op] else { throw RuntimeError(.invalid, "linux.seccomp: \"\(argument.op)\" is not an operator") }
        guard argument.index < 6 else { throw RuntimeError(.invalid, "linux.seccomp: argument index \(argument.index) is above 5") }
        comparisons.append(
          scmp_arg_cmp(arg: argument.index, op: op, datum_a: argument.value, datum_b: argument.valueTwo))
      }
      // Two conditions on one argument cannot be one rule; they become alternatives, as in runc.
      let split = Set(comparisons.map(\.arg)).count != comparisons.count
      for name in rule.names {
        let number = seccomp_syscall_resolve_name(name)
        if number == -1 { continue }  // unknown to this libseccomp: cannot be called either
        for group in split ? comparisons.map({ [$0] }) : [comparisons] {
          let result = seccomp_rule_add_array(context, action, number, UInt32(group.count), group)
          if result != -EEXIST && result != -EACCES { try must("rule for \(name)", result) }
        }
      }
    }
    var flags: UInt64 = 0
    for name in spec.flags {
      guard let flag = Self.loadFlags[name] else { throw RuntimeError(.invalid, "linux.seccomp.flags: \"\(name)\" is not a flag") }
      flags |= flag
    }
    // One thread: nothing to synchronise. Waiting killably concerns listeners only.
    self.flags = flags & ~33

    let made = clinux_memfd_create("seccomp", 1)
    guard made >= 0 else { throw RuntimeError(.system, "seccomp: \(SystemError.last("memfd_create", "filter"))") }
    let file = OwnedFD(adopting: made)
    try must("compile the filter", seccomp_export_bpf(context, made))
    lseek(made, 0, SEEK_SET)
    program = try during("read the compiled seccomp filter") { () throws(SystemError) in try Files.readAll(file, path: "memfd") }
    guard program.count / 8 <= 0xFFFF else { throw RuntimeError(.invalid, "seccomp: the filter is too long for the kernel") }
  }
}
