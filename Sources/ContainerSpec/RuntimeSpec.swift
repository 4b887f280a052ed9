/// The OCI runtime-spec (config.md), as far as a client of containerd writes it.
public struct RuntimeSpec: Hashable, Sendable, Codable {
  public var ociVersion: String
  public var process: Process
  public var root: Root
  public var mounts: [SpecMount]
  public var annotations: [String: String]?
  public var linux: Linux

  public struct Process: Hashable, Sendable, Codable {
    public var terminal: Bool?
    public var user: SpecUser
    public var args: [String]
    public var env: [String]
    public var cwd: String
    public var capabilities: CapabilitySets
    public var rlimits: [ResourceLimit]
    public var noNewPrivileges: Bool?
  }

  public struct Root: Hashable, Sendable, Codable {
    public var path: String
    public var readonly: Bool?
  }

  public struct CapabilitySets: Hashable, Sendable, Codable {
    public var bounding: [String]
    public var effective: [String]
    public var permitted: [String]
  }

  public struct ResourceLimit: Hashable, Sendable, Codable {
    public var type: String
    public var hard: UInt64
    public var soft: UInt64
  }

  public struct Linux: Hashable, Sendable, Codable {
    public var resources: Resources
    public var cgroupsPath: String
    public var namespaces: [LinuxNamespace]
    public var maskedPaths: [String]?
    public var readonlyPaths: [String]?
    public var devices: [SpecDevice]?
  }

  public struct Resources: Hashable, Sendable, Codable {
    public var devices: [DeviceRule]
    public var memory: Memory?
    public var cpu: CPU
  }

  public struct Memory: Hashable, Sendable, Codable { public var limit: Int64 }

  public struct CPU: Hashable, Sendable, Codable {
    public var shares: UInt64
    /// Microseconds in one period.
    public var quota: Int64?
    public var period: UInt64?
  }

  public struct DeviceRule: Hashable, Sendable, Codable {
    public var allow: Bool
    public var type: String?
    public var major: Int64?
    public var minor: Int64?
    public var access: String
  }

  public struct LinuxNamespace: Hashable, Sendable, Codable {
    public var type: String
    public var path: String?
    public init(type: String, path: String? = nil) {
      self.type = type
      self.path = path
    }
  }
}

/// The ids a process runs with.
public struct SpecUser: Hashable, Sendable, Codable {
  public var uid: UInt32
  public var gid: UInt32
  public var additionalGids: [UInt32]
  public init(uid: UInt32 = 0, gid: UInt32 = 0, additionalGids: [UInt32] = [0]) {
    self.uid = uid
    self.gid = gid
    self.additionalGids = additionalGids
  }
}

public struct SpecMount: Hashable, Sendable, Codable {
  public var destination: String
  public var type: String
  public var source: String
  public var options: [String]
  public init(destination: String, type: String, source: String, options: [String]) {
    self.destination = destination
    self.type = type
    self.source = source
    self.options = options
  }
}

/// A device node to make in the container.
public struct SpecDevice: Hashable, Sendable, Codable {
  public var path: String
  /// `c` or `b`.
  public var type: String
  public var major: Int64
  public var minor: Int64
  /// Permission bits.
  public var fileMode: UInt32
  public var uid: UInt32
  public var gid: UInt32
  public init(path: String, type: String, major: Int64, minor: Int64, fileMode: UInt32, uid: UInt32, gid: UInt32) {
    self.path = path
    self.type = type
    self.major = major
    self.minor = minor
    self.fileMode = fileMode
    self.uid = uid
    self.gid = gid
  }
}
