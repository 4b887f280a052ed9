import LinuxRuntime

/// Where a shim keeps things.
enum ShimPaths {
  static func state(namespace: String) -> String { "/run/containerd-ref/runtime/" + namespace }

  static let socketDirectory = "/run/containerd-ref/s"

  /// The same for every shim command about one container (or group of containers) of one daemon.
  static func socket(_ arguments: ShimArguments, group: String) -> String {
    "\(socketDirectory)/\(SHA256.hex("\(arguments.address)/\(arguments.namespace)/\(group)"))"
  }
}
