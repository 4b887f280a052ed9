import OCI

/// Everything that decides what a container's spec says. What is left alone takes containerd's default.
public struct SpecRequest: Sendable {
  public var namespace: String
  public var id: String
  public var image: ImageConfig
  /// Where not empty: runs instead of the image's entrypoint and command.
  public var command: [String] = []
  /// `KEY=VALUE` sets or replaces, `KEY` alone removes.
  public var environment: [String] = []
  public var workingDirectory: String?
  public var user = SpecUser()
  public var terminal = false
  public var readOnly = false
  public var allowNewPrivileges = false
  public var mounts: [SpecMount] = []
  public var annotations: [String: String] = [:]
  public var addedCapabilities: [String] = []
  public var droppedCapabilities: [String] = []
  /// Shares the machine's network, with its name, hosts file and resolver; the value is the machine's name.
  public var hostNetworkOf: String?
  /// Namespaces that exist already, type → path.
  public var joinedNamespaces: [String: String] = [:]
  public var memoryLimit: Int64?
  /// Processors' worth of time, 0.5 is half of one.
  public var cpus: Double?
  public var cpuShares: UInt64 = 1024
  public var privileges: Privileges?

  /// What a privileged container gets: everything this process itself may do, and all devices.
  public struct Privileges: Sendable {
    public var capabilities: [String]
    public var devices: [SpecDevice]
    public init(capabilities: [String], devices: [SpecDevice]) {
      self.capabilities = capabilities
      self.devices = devices
    }
  }

  public init(namespace: String, id: String, image: ImageConfig) {
    self.namespace = namespace
    self.id = id
    self.image = image
  }
}
