import FoundationEssentials
import OCI
import Protocols

extension RuntimeSpec {
  /// The type under which containerd carries a spec.
  public static let typeURL = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
  /// The type of a process alone, as `exec` takes it.
  public static let processTypeURL = "types.containerd.io/opencontainers/runtime-spec/1/Process"

  /// The period in microseconds over which a share of processor time is counted.
  private static let cpuPeriod: UInt64 = 100_000

  /// The spec for a request. `invalidArgument` says which wish cannot be met.
  public init(_ request: SpecRequest) throws(ContainerdError) {
    let arguments = request.command.isEmpty ? request.image.entrypoint + request.image.command : request.command
    guard let program = arguments.first, !program.isEmpty else {
      throw .invalidArgument("container \(request.id): no command is given, and the image names none")
    }
    let capabilities = try Self.capabilities(of: request)
    ociVersion = "1.0.2-dev"
    process = Process(
      terminal: request.terminal ? true : nil, user: request.user, args: arguments, env: Self.environment(of: request),
      cwd: try Self.workingDirectory(of: request),
      capabilities: CapabilitySets(bounding: capabilities, effective: capabilities, permitted: capabilities),
      rlimits: [ResourceLimit(type: "RLIMIT_NOFILE", hard: 1024, soft: 1024)], noNewPrivileges: request.allowNewPrivileges ? nil : true)
    root = Root(path: "rootfs", readonly: request.readOnly ? true : nil)
    mounts = Self.mounts(of: request)
    annotations = request.annotations.isEmpty ? nil : request.annotations
    linux = Linux(
      resources: try Self.resources(of: request), cgroupsPath: "/\(request.namespace)/\(request.id)", namespaces: try Self.namespaces(of: request),
      maskedPaths: request.privileges == nil ? Self.defaultMaskedPaths : nil,
      readonlyPaths: request.privileges == nil ? Self.defaultReadonlyPaths : nil, devices: request.privileges?.devices)
  }

  /// As containerd carries it: JSON with its type URL.
  public func packed() throws(ContainerdError) -> TypedValue {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do { return TypedValue(typeURL: Self.typeURL, value: [UInt8](try encoder.encode(self))) } catch {
      throw .internalError("encode the spec: \(error)")
    }
  }

  private static func environment(of request: SpecRequest) -> [String] {
    var environment = request.image.environment.isEmpty ? [defaultPath] : request.image.environment
    if request.terminal { set("TERM=xterm", in: &environment) }
    for entry in request.environment { set(entry, in: &environment) }
    if let host = request.hostNetworkOf { set("HOSTNAME=\(host)", in: &environment) }
    return environment
  }

  /// Replaces the variable where it stands, or adds it at the end; a name without `=` takes it away.
  static func set(_ entry: String, in environment: inout [String]) {
    let name = entry.prefix { $0 != "=" }
    let place = environment.firstIndex { $0.prefix { $0 != "=" } == name }
    if name.utf8.count == entry.utf8.count {
      if let place { environment.remove(at: place) }
    } else if let place {
      environment[place] = entry
    } else {
      environment.append(entry)
    }
  }

  private static func workingDirectory(of request: SpecRequest) throws(ContainerdError) -> String {
    let path = request.workingDirectory ?? (request.image.workingDirectory.isEmpty ? "/" : request.image.workingDirectory)
    guard path.hasPrefix("/") else { throw .invalidArgument("container \(request.id): working directory \"\(path)\" is not an absolute path") }
    return path
  }

  private static func capabilities(of request: SpecRequest) throws(ContainerdError) -> [String] {
    for name in request.addedCapabilities + request.droppedCapabilities where !name.hasPrefix("CAP_") {
      throw .invalidArgument("capability \"\(name)\": capabilities are named with their prefix, like CAP_SYS_ADMIN")
    }
    var capabilities = request.privileges?.capabilities ?? defaultCapabilities
    for name in request.addedCapabilities where !capabilities.contains(name) { capabilities.append(name) }
    capabilities.removeAll(where: request.droppedCapabilities.contains)
    return capabilities
  }

  private static func mounts(of request: SpecRequest) -> [SpecMount] {
    var mounts = defaultMounts
    if request.privileges != nil {
      for index in mounts.indices where mounts[index].type == "sysfs" { mounts[index].options = mounts[index].options.map { $0 == "ro" ? "rw" : $0 } }
    }
    mounts += request.mounts
    if request.hostNetworkOf != nil {
      for path in ["/etc/hosts", "/etc/resolv.conf"] {
        mounts.append(SpecMount(destination: path, type: "bind", source: path, options: ["rbind", "ro"]))
      }
    }
    return mounts
  }

  private static func namespaces(of request: SpecRequest) throws(ContainerdError) -> [LinuxNamespace] {
    var namespaces = defaultNamespaces.map { LinuxNamespace(type: $0) }
    if request.hostNetworkOf != nil { namespaces.removeAll { $0.type == "network" } }
    for (type, path) in request.joinedNamespaces.sorted(by: { $0.key < $1.key }) {
      guard path.hasPrefix("/") else { throw .invalidArgument("namespace \(type): \"\(path)\" is not an absolute path") }
      namespaces.removeAll { $0.type == type }
      namespaces.append(LinuxNamespace(type: type, path: path))
    }
    return namespaces
  }

  private static func resources(of request: SpecRequest) throws(ContainerdError) -> Resources {
    if let limit = request.memoryLimit, limit <= 0 { throw .invalidArgument("memory limit \(limit): a number of bytes above 0 is needed") }
    var cpu = CPU(shares: request.cpuShares)
    if let cpus = request.cpus {
      guard cpus.isFinite, cpus >= 0.01, cpus <= 10_000 else { throw .invalidArgument("cpus \(cpus): a number of processors from 0.01 to 10000 is needed") }
      cpu.quota = Int64((cpus * Double(cpuPeriod)).rounded())
      cpu.period = cpuPeriod
    }
    return Resources(
      devices: request.privileges == nil ? defaultDeviceRules : [DeviceRule(allow: true, access: "rwm")],
      memory: request.memoryLimit.map { Memory(limit: $0) }, cpu: cpu)
  }
}
