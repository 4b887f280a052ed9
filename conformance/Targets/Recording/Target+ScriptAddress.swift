import ConformanceKit
import ContainerdAPI
import SwiftProtobuf

extension Target {
  /// The socket of a snapshotter, and its name in a whole containerd; nil if the address is of another form.
  public static func snapshotterAddress(_ address: String) -> (socket: String, name: String?)? {
    guard let parts = try? SocketAddress(address, scheme: "snapshotter+grpc", parameters: ["name", "empty"]) else { return nil }  // none, or not well-formed
    return (parts.path, parts.parameters["name"])
  }

  /// The socket of a containerd; nil if the address is of another form.
  public static func socket(of address: String) -> String? {
    for scheme in ["content+grpc", "daemon"] {
      if let parts = try? SocketAddress(address, scheme: scheme, parameters: ["snapshotter"]) { return parts.path }  // none, or not well-formed
    }
    return nil
  }

  /// The socket of a whole daemon, and the snapshotter that cases use there; nil if the address is of another form.
  public static func daemonAddress(_ address: String) -> (socket: String, snapshotter: String)? {
    guard let parts = try? SocketAddress(address, scheme: "daemon", parameters: ["snapshotter"]) else { return nil }  // none, or not well-formed
    return (parts.path, parts.parameters["snapshotter"] ?? "overlayfs")
  }

  /// How a runtime is called here; nil if the address is of another form.
  public static func runtimeWords(_ address: String) throws -> [String]? {
    guard let (program, options) = try programAddress(address, scheme: "oci-runtime:") else { return nil }
    return RuntimeCommand(program: program, cgroups: options["cgroups"]).words
  }

  /// The request for all snapshots, as a script sends it.
  public static func listOfSnapshots(of snapshotter: String) -> String {
    GRPCFrame.hex(Containerd_Services_Snapshots_V1_ListSnapshotsRequest.with { $0.snapshotter = snapshotter })
  }
}
