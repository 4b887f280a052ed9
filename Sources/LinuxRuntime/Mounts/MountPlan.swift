import CInit
import CLinux
import SystemKit

extension Plan {
  static let noSymlinks: UInt64 = 0x04

  /// Where symbolic links in a destination are refused: what is mounted there is trusted later on.
  static func resolveFlags(_ destination: String) -> UInt64 {
    ["/proc", "/sys", "/dev"].contains { destination == $0 || destination.hasPrefix($0 + "/") } ? noSymlinks : 0
  }

  /// The path without ".", ".." and double slashes, as Go's filepath.Clean has it.
  static func clean(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }

  /// Opens the source of every bind while the root is still the host's, before anything of the container is mounted.
  func openSource(_ path: String, recursive: Bool) -> Int32 {
    let slot = newSlot()
    add(CINIT_OPEN_TREE, "open bind source \(path)") {
      $0.fd = slot
      $0.path = self.text(path)
      $0.a = recursive ? 1 : 0
    }
    return slot
  }

  func addFileSystem(_ type: String, source: String, destination: String, options: MountOptions, data: [String], flags: UInt64? = nil) {
    let data = data.joined(separator: ",")
    add(CINIT_MOUNT, "mount \(type) at \(destination)") {
      $0.path = self.text(destination)
      $0.source = self.text(source.isEmpty ? type : source)
      $0.text = self.text(type)
      if !data.isEmpty { $0.data = self.text(data) }
      $0.a = flags ?? options.flags
      $0.resolve = Self.resolveFlags(destination)
      $0.attributes = Self.attributes(options, ownToo: false)
    }
  }

  func addBind(slot: Int32, source: String, destination: String, options: MountOptions) {
    add(CINIT_BIND, "bind \(source) at \(destination)") {
      $0.fd = slot
      $0.path = self.text(destination)
      $0.resolve = Self.resolveFlags(destination)
      $0.attributes = Self.attributes(options, ownToo: true)
    }
  }

  func addReadonly(_ destination: String) {
    add(CINIT_ATTRIBUTES, "make \(destination) read-only") {
      $0.path = self.text(destination)
      $0.resolve = Self.resolveFlags(destination)
      $0.attributes.set = MountOptions.attributeReadonly
    }
  }

  private static func attributes(_ options: MountOptions, ownToo: Bool) -> cinit_attributes {
    var attributes = cinit_attributes()
    if ownToo {
      attributes.set = options.set
      attributes.clear = options.clear
    }
    attributes.recursive_set = options.recursiveSet
    attributes.recursive_clear = options.recursiveClear
    withUnsafeMutableBytes(of: &attributes.propagation) { bytes in
      for (index, value) in options.propagation.prefix(4).enumerated() { bytes.storeBytes(of: value, toByteOffset: index * 8, as: UInt64.self) }
    }
    return attributes
  }
}

/// One mount of the configuration with its options sorted and its source opened.
struct PreparedMount {
  var spec: MountSpec
  var destination: String
  var options: MountOptions
  var source: String
  var slot: Int32?

  /// Files of procfs that lxcfs may cover; everything else there must be the kernel's own.
  private static let coverable: Set<String> = [
    "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg",
    "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
  ]

  init(_ spec: MountSpec, bundle: String) throws(RuntimeError) {
    self.spec = spec
    destination = Plan.clean(spec.destination)
    options = MountOptions(spec.options)
    if spec.type == "bind" { options.bind = true }
    if spec.type == "rbind" {
      options.bind = true
      options.recursiveBind = true
    }
    source = spec.source
    guard destination != "/" else { throw RuntimeError(.invalid, "mount at \(spec.destination): the root itself cannot be a destination") }
    let isRemount = options.flags & MountOptions.remount != 0
    if options.bind {
      guard !source.isEmpty else { throw RuntimeError(.invalid, "mount at \(destination): a bind needs a source") }
      if !source.hasPrefix("/") { source = bundle + "/" + source }
    } else if spec.type.isEmpty, !isRemount {
      throw RuntimeError(.invalid, "mount at \(destination): a type is missing")
    }
    if options.data.contains("tmpcopyup") { throw RuntimeError(.invalid, "mount at \(destination): the option tmpcopyup is not supported") }
    if options.propagation.count > 4 { throw RuntimeError(.invalid, "mount at \(destination): more than four propagation options") }
    if options.idmap, !options.bind { throw RuntimeError(.invalid, "mount at \(destination): idmap needs a bind") }
    if destination == "/proc" || destination.hasPrefix("/proc/") { try checkProc() }
  }

  private func checkProc() throws(RuntimeError) {
    if destination == "/proc" {
      if spec.type == "proc" && !options.bind { return }
      var info = statfs()
      if options.bind, statfs(source, &info) == 0, info.f_type == 0x9FA0 { return }
      throw RuntimeError(.invalid, "mount at /proc: only a proc file system may be mounted there, not \(spec.type) \(source)")
    }
    guard options.bind, Self.coverable.contains(destination) else {
      throw RuntimeError(.invalid, "mount at \(destination): nothing may be mounted inside /proc")
    }
  }
}
