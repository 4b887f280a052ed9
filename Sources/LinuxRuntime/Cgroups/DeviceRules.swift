import CInit
import CLinux
import SystemKit

/// Which devices a container may use: the devices controller of v1, a BPF program on v2.
enum DeviceRules {
  private static func rule(_ type: String, _ major: Int64?, _ minor: Int64?, _ access: String) -> ResourcesSpec.DeviceRule {
    ResourcesSpec.DeviceRule(allow: true, type: type, major: major, minor: minor, access: access)
  }

  /// What every container may use (config-linux.md, "Default Devices"), and making any node, which is worth nothing alone.
  static let always: [ResourcesSpec.DeviceRule] = [
    rule("c", nil, nil, "m"), rule("b", nil, nil, "m"), rule("c", 1, 3, "rwm"), rule("c", 1, 5, "rwm"), rule("c", 1, 7, "rwm"),
    rule("c", 1, 8, "rwm"), rule("c", 1, 9, "rwm"), rule("c", 5, 0, "rwm"), rule("c", 5, 1, "rwm"), rule("c", 5, 2, "rwm"),
    rule("c", 136, nil, "rwm"),
  ]

  static func apply(_ configured: [ResourcesSpec.DeviceRule], to cgroup: Cgroup) throws(RuntimeError) {
    if configured.isEmpty { return }
    let rules = configured + always
    if let directory = cgroup.directory("devices") {
      for rule in rules {
        let file = directory.path + (rule.allow ? "/devices.allow" : "/devices.deny")
        try CgroupFile.write(line(rule), file)
      }
    } else if let unified = cgroup.unified {
      let fd = try during("limit devices") { () throws(SystemError) in try Files.open(unified.path, O_RDONLY | O_DIRECTORY) }
      let program = DeviceProgram.compile(rules)
      let result = program.withUnsafeBufferPointer { cinit_attach_device_filter(fd.raw, $0.baseAddress, UInt32($0.count)) }
      if result < 0 {
        throw RuntimeError(SystemError(errno: -result, operation: "bpf", object: unified.path), doing: "limit devices")
      }
    }
  }

  static func line(_ rule: ResourcesSpec.DeviceRule) -> String {
    if rule.type == "a", rule.major == nil, rule.minor == nil, rule.access.count == 3 { return "a" }
    func text(_ number: Int64?) -> String { number.map(String.init) ?? "*" }
    return "\(rule.type) \(text(rule.major)):\(text(rule.minor)) \(rule.access)"
  }
}

/// Compiles rules to a BPF_PROG_TYPE_CGROUP_DEVICE program: the last rule that matches decides; none: no.
enum DeviceProgram {
  private static func instruction(_ code: UInt8, _ destination: UInt8, _ source: UInt8, _ offset: Int16, _ immediate: Int32) -> UInt64 {
    UInt64(code) | UInt64(destination | source << 4) << 8 | UInt64(UInt16(bitPattern: offset)) << 16
      | UInt64(UInt32(bitPattern: immediate)) << 32
  }

  static func compile(_ rules: [ResourcesSpec.DeviceRule]) -> [UInt64] {
    // r2: block 1 or char 2, r3: access bits mknod 1, read 2, write 4, r4: major, r5: minor (struct bpf_cgroup_dev_ctx).
    var program = [
      instruction(0x61, 2, 1, 0, 0), instruction(0xBC, 3, 2, 0, 0), instruction(0x54, 2, 0, 0, 0xFFFF), instruction(0x74, 3, 0, 0, 16),
      instruction(0x61, 4, 1, 4, 0), instruction(0x61, 5, 1, 8, 0),
    ]
    for rule in rules.reversed() {
      var body: [(UInt64, jump: Bool)] = []
      // Every jump leads past the rule's verdict; the distance is known when the rule is complete.
      func jumpUnlessEqual(_ register: UInt8, _ value: Int32) { body.append((instruction(0x55, register, 0, 0, value), true)) }
      if rule.type != "a" { jumpUnlessEqual(2, rule.type == "b" ? 1 : 2) }
      var access: Int32 = 0
      if rule.access.contains("m") { access |= 1 }
      if rule.access.contains("r") { access |= 2 }
      if rule.access.contains("w") { access |= 4 }
      if access != 7 {
        body.append((instruction(0xBC, 0, 3, 0, 0), false))
        body.append((instruction(0x54, 0, 0, 0, access), false))
        // Allowed only if all that is asked for is covered; denied if any of it is.
        body.append((rule.allow ? instruction(0x5D, 0, 3, 0, 0) : instruction(0x15, 0, 0, 0, 0), true))
      }
      if let major = rule.major { jumpUnlessEqual(4, Int32(truncatingIfNeeded: major)) }
      if let minor = rule.minor { jumpUnlessEqual(5, Int32(truncatingIfNeeded: minor)) }
      body.append((instruction(0xB4, 0, 0, 0, rule.allow ? 1 : 0), false))
      body.append((instruction(0x95, 0, 0, 0, 0), false))
      for (index, entry) in body.enumerated() {
        let distance = UInt64(UInt16(bitPattern: Int16(body.count - index - 1)))
        program.append(entry.jump ? entry.0 | distance << 16 : entry.0)
      }
      if rule.type == "a", access == 7, rule.major == nil, rule.minor == nil { return program }
    }
    return program + [instruction(0xB4, 0, 0, 0, 0), instruction(0x95, 0, 0, 0, 0)]
  }
}
