/// Three descriptors of the caller that become 0, 1 and 2 of a container process. They stay the caller's to close.
public struct Stdio: Sendable {
  public var stdin: Int32
  public var stdout: Int32
  public var stderr: Int32

  public init(stdin: Int32 = 0, stdout: Int32 = 1, stderr: Int32 = 2) {
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
  }
}

/// What the caller of `Container.create` decides; everything else is in the bundle's configuration.
public struct CreateOptions: Sendable {
  /// 1 to 1024 characters of `A-Za-z0-9_+.-`, not "." or "..".
  public var id: String
  /// The bundle: the directory with `config.json`; a relative `root.path` counts from here.
  public var bundle: String
  /// The state directory of the runtime: one directory a container below it.
  public var root: String
  /// Enter the root file system by moving it over "/" and chroot (for roots on ramfs) instead of pivot_root.
  public var noPivot = false
  /// Keep the caller's session keyring.
  public var noNewKeyring = false
  /// `cgroupsPath` is a systemd triple "slice:prefix:name"; it is mapped to a cgroupfs path.
  public var systemdCgroup = false
  /// Used when the configuration's process has no terminal. With a terminal the pty replaces it.
  public var stdio = Stdio()
  /// Where to write the pid of the container's first process.
  public var pidFile: String?
  /// How many descriptors from 3 on stay open in the process.
  public var preserveFds: Int32 = 0

  public init(id: String, bundle: String, root: String) {
    self.id = id
    self.bundle = bundle
    self.root = root
  }
}

/// What the caller of `Container.exec` decides.
public struct ExecOptions: Sendable {
  public var stdio = Stdio()
  public var pidFile: String?
  public var preserveFds: Int32 = 0
  /// A cgroup below the container's for the process (`--cgroup`).
  public var subCgroup: String?

  public init() {}
}

/// A further process in a container.
public struct ExecutedProcess: Sendable {
  /// In the pid namespace of the caller; a direct child of the caller, who reaps it.
  public let pid: Int32
  /// The master side of the process's terminal, open and owned by the receiver; nil without a terminal.
  public let ttyMaster: Int32?
}

/// The life of a container (runtime.md of the specification, "State", and runc's "paused").
public enum ContainerState: String, Sendable {
  case creating, created, running, paused, stopped
}
