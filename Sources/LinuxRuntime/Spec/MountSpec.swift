/// One entry of `mounts` (config.md, "Mounts").
public struct MountSpec: Sendable {
  public var destination: String
  public var source: String
  public var type: String
  public var options: [String]
  public var uidMappings: [IDMapping] = []
  public var gidMappings: [IDMapping] = []

  init(_ json: JSONReader) throws(RuntimeError) {
    let path = try json.required("destination", json.string("destination"))
    guard !path.isEmpty else { throw json.error("destination", "is empty") }
    // Relative destinations count from "/", as runc has it.
    destination = path.hasPrefix("/") ? path : "/" + path
    source = try json.string("source") ?? ""
    options = try json.strings("options")
    type = try json.string("type") ?? ""
    for mapping in try json.objects("uidMappings") { uidMappings.append(try IDMapping(mapping)) }
    for mapping in try json.objects("gidMappings") { gidMappings.append(try IDMapping(mapping)) }
    guard uidMappings.isEmpty == gidMappings.isEmpty else {
      throw json.error("uidMappings", "uidMappings and gidMappings of a mount go together")
    }
  }
}

/// A range of ids in a user namespace (user_namespaces(7)).
public struct IDMapping: Sendable, Hashable {
  public var containerID: UInt32
  public var hostID: UInt32
  public var size: UInt32

  init(_ json: JSONReader) throws(RuntimeError) {
    containerID = try json.required("containerID", json.integer("containerID"))
    hostID = try json.required("hostID", json.integer("hostID"))
    size = try json.required("size", json.integer("size"))
    guard size > 0 else { throw json.error("size", "must not be 0") }
  }

  /// The lines for /proc/PID/uid_map.
  static func text(_ mappings: [IDMapping]) -> String {
    mappings.map { "\($0.containerID) \($0.hostID) \($0.size)\n" }.joined()
  }
}
