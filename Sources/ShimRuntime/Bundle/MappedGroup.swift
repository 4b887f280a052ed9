import CLinux
import FoundationEssentials

/// Which group root is outside a container with a user namespace: that group must be able to enter the bundle.
enum MappedGroup {
  private struct Spec: Decodable {
    struct Linux: Decodable { var gidMappings: [Mapping]? }
    struct Mapping: Decodable {
      var containerID: UInt32
      var hostID: UInt32
      var size: UInt32
    }
    var linux: Linux?
  }

  /// Nil without a mapping, when root stays root, and for a spec that cannot be read: the shim will say what is wrong with it.
  static func ofRoot(inSpec bytes: [UInt8]) -> gid_t? {
    guard let spec = try? JSONDecoder().decode(Spec.self, from: Bytes.data(bytes)), let mappings = spec.linux?.gidMappings,
      let mapping = mappings.first(where: { $0.containerID == 0 && $0.size > 0 }), mapping.hostID != 0
    else { return nil }
    return mapping.hostID
  }
}
