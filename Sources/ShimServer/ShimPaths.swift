import LinuxRuntime

/// Where a shim keeps things.
enum ShimPaths {
  /// The state directory of the runtime: in the bundle, below the state directory of the daemon that made it, so that daemons
  /// which know nothing of each other may use the same names. `root` is what a client's options say, "" when they say nothing.
  static func state(bundle: String, namespace: String = "", root: String = "") -> String {
    root.isEmpty ? bundle + "/runtime-state" : root + "/" + namespace
  }

  static let socketDirectory = "/run/containerd-ref/s"

  /// The same for every shim command about one container (or group of containers) of one daemon.
  static func socket(_ arguments: ShimArguments, group: String) -> String {
    "\(socketDirectory)/\(SHA256.hex("\(arguments.address)/\(arguments.namespace)/\(group)"))"
  }
}
