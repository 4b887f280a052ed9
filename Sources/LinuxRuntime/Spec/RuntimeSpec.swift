/// A parsed OCI `config.json` (runtime-spec 1.x). Unknown members are ignored, as the specification demands.
public struct RuntimeSpec: Sendable {
  public var ociVersion: String
  public var process: ProcessSpec?
  public var rootPath: String?
  public var rootReadonly = false
  public var hostname: String?
  public var domainname: String?
  public var mounts: [MountSpec] = []
  public var hooks = HooksSpec()
  public var annotations: [(String, String)] = []
  public var linux: LinuxSpec
  /// The bytes the configuration was read from: what the state directory keeps a copy of.
  let source: [UInt8]

  public init(json bytes: [UInt8]) throws(RuntimeError) {
    source = bytes
    let json = try JSONReader(JSONParser.parse(bytes), path: "")
    ociVersion = try json.required("ociVersion", json.string("ociVersion"))
    let parts = ociVersion.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count >= 3, parts[0] == "1", parts[1].allSatisfy(\.isNumber), !parts[1].isEmpty else {
      throw json.error("ociVersion", "\"\(ociVersion)\" is not a version this runtime knows (1.x.y)")
    }
    if let process = try json.object("process") { self.process = try ProcessSpec(process) }
    if let root = try json.object("root") {
      rootPath = try root.required("path", root.string("path"))
      rootReadonly = try root.bool("readonly") ?? false
    }
    hostname = try json.string("hostname").flatMap { $0.isEmpty ? nil : $0 }
    domainname = try json.string("domainname").flatMap { $0.isEmpty ? nil : $0 }
    for mount in try json.objects("mounts") { mounts.append(try MountSpec(mount)) }
    if let hooks = try json.object("hooks") { self.hooks = try HooksSpec(hooks) }
    annotations = try json.stringMap("annotations")
    linux = try LinuxSpec(json.object("linux"))
    if hostname != nil, linux.namespace(.uts) == nil { throw json.error("hostname", "needs a uts namespace of the container's own") }
    if domainname != nil, linux.namespace(.uts) == nil { throw json.error("domainname", "needs a uts namespace of the container's own") }
  }
}
