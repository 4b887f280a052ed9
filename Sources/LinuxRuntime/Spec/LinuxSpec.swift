/// The `linux` object of a configuration (config-linux.md).
public struct LinuxSpec: Sendable {
  public struct Namespace: Sendable {
    public var type: NamespaceType
    /// nil: a new one.
    public var path: String?
  }
  public struct Device: Sendable {
    public var type: String
    public var path: String
    public var major: Int64
    public var minor: Int64
    public var fileMode: UInt32
    public var uid: UInt32
    public var gid: UInt32
  }

  public var namespaces: [Namespace] = []
  public var uidMappings: [IDMapping] = []
  public var gidMappings: [IDMapping] = []
  /// "monotonic" or "boottime" to (seconds, nanoseconds).
  public var timeOffsets: [(clock: String, seconds: Int64, nanoseconds: UInt32)] = []
  public var devices: [Device] = []
  public var sysctl: [(String, String)] = []
  public var cgroupsPath: String?
  public var resources: ResourcesSpec?
  public var seccomp: SeccompSpec?
  public var maskedPaths: [String] = []
  public var readonlyPaths: [String] = []
  /// MS_* values; nil: as inherited.
  public var rootfsPropagation: UInt64?
  public var mountLabel: String?
  public var personality: UInt64?

  public func namespace(_ type: NamespaceType) -> Namespace? { namespaces.first { $0.type == type } }
  /// True when the container gets a new namespace of the type.
  public func makes(_ type: NamespaceType) -> Bool { namespace(type).map { $0.path == nil } ?? false }

  init(_ json: JSONReader?) throws(RuntimeError) {
    guard let json else { return }
    for entry in try json.objects("namespaces") {
      let name = try entry.required("type", entry.string("type"))
      guard let type = NamespaceType(rawValue: name) else { throw entry.error("type", "\"\(name)\" is not a kind of namespace") }
      guard namespace(type) == nil else { throw entry.error("type", "\(name) is given twice") }
      let path = try entry.string("path").flatMap { $0.isEmpty ? nil : $0 }
      if let path, !path.hasPrefix("/") { throw entry.error("path", "must be absolute, not \"\(path)\"") }
      namespaces.append(Namespace(type: type, path: path))
    }
    for mapping in try json.objects("uidMappings") { uidMappings.append(try IDMapping(mapping)) }
    for mapping in try json.objects("gidMappings") { gidMappings.append(try IDMapping(mapping)) }
    if makes(.user), uidMappings.isEmpty || gidMappings.isEmpty {
      throw json.error("uidMappings", "a new user namespace needs uidMappings and gidMappings")
    }
    if namespace(.user) == nil, !uidMappings.isEmpty || !gidMappings.isEmpty {
      throw json.error("uidMappings", "mappings need a user namespace")
    }
    if let offsets = try json.object("timeOffsets") {
      for clock in ["monotonic", "boottime"] {
        guard let offset = try offsets.object(clock) else { continue }
        timeOffsets.append((clock, try offset.integer("secs") ?? 0, try offset.integer("nanosecs") ?? 0))
      }
      if !timeOffsets.isEmpty, !makes(.time) { throw json.error("timeOffsets", "need a new time namespace") }
    }
    for device in try json.objects("devices") {
      let type = try device.required("type", device.string("type"))
      guard ["b", "c", "u", "p"].contains(type) else { throw device.error("type", "\"\(type)\" is not one of b, c, u, p") }
      let path = try device.required("path", device.string("path"))
      guard path.hasPrefix("/") else { throw device.error("path", "must be absolute, not \"\(path)\"") }
      if type != "p", !device.has("major") || !device.has("minor") { throw device.error("major", "major and minor are missing") }
      devices.append(
        Device(
          type: type, path: path, major: try device.integer("major") ?? 0, minor: try device.integer("minor") ?? 0,
          fileMode: try device.integer("fileMode") ?? 0o666, uid: try device.integer("uid") ?? 0, gid: try device.integer("gid") ?? 0))
    }
    sysctl = try json.stringMap("sysctl")
    cgroupsPath = try json.string("cgroupsPath").flatMap { $0.isEmpty ? nil : $0 }
    if let resources = try json.object("resources") { self.resources = try ResourcesSpec(resources) }
    if let seccomp = try json.object("seccomp") { self.seccomp = try SeccompSpec(seccomp) }
    maskedPaths = try json.strings("maskedPaths")
    readonlyPaths = try json.strings("readonlyPaths")
    for path in maskedPaths + readonlyPaths where !path.hasPrefix("/") {
      throw json.error("maskedPaths", "masked and read-only paths must be absolute, not \"\(path)\"")
    }
    if let name = try json.string("rootfsPropagation"), !name.isEmpty {
      guard let value = MountOptions.propagations[name] else { throw json.error("rootfsPropagation", "\"\(name)\" is not a propagation") }
      rootfsPropagation = value
    }
    mountLabel = try json.string("mountLabel").flatMap { $0.isEmpty ? nil : $0 }
    if let personality = try json.object("personality") {
      switch try personality.required("domain", personality.string("domain")) {
      case "LINUX": self.personality = 0
      case "LINUX32": self.personality = 8
      case let other: throw personality.error("domain", "\"\(other)\" is neither LINUX nor LINUX32")
      }
      guard try personality.strings("flags").isEmpty else { throw personality.error("flags", "no flag is known") }
    }
  }
}
