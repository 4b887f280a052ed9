extension ShimRuntime {
  /// Where the daemon keeps its things, and how it runs shims.
  public struct Configuration: Sendable {
    /// The daemon's volatile directory (`/run/containerd`): bundles live in `<state>/io.containerd.runtime.v2.task/<ns>/<id>`.
    public var state: String
    /// The daemon's durable directory (`/var/lib/containerd`): each bundle's `work` link points below it.
    public var root: String
    /// The path of the daemon's gRPC socket. Shims publish their events to `<address>.ttrpc`.
    public var address: String
    /// The daemon's own executable: told to shims as `-publish-binary`; shims are looked for in its directory first.
    public var executable: String
    /// Runtime name → shim, as a path or as the file name of a program beside the daemon's or in PATH.
    ///
    /// Clients ask for `io.containerd.runc.v2` unless told otherwise, so by default that name starts our own shim too. To run
    /// another shim under a name, map it here; or ask for the shim by its absolute path, which needs no entry.
    public var shims: [String: String]
    /// Starts shims with `-debug`.
    public var debug: Bool
    /// How long `<shim> start` and `<shim> delete` may take.
    public var commandTimeout: Duration
    /// How long a shim may take to answer when the daemon comes back.
    public var reattachTimeout: Duration
    /// How long a shim may take to answer a question about a process's state.
    public var stateTimeout: Duration
    /// How long a shim may take to acknowledge that it shall end.
    public var shutdownTimeout: Duration

    public static let ownShim = "containerd-shim-ref-v2"
    public static let defaultShims = ["io.containerd.runc.v2": ownShim, "io.containerd.ref.v2": ownShim]

    public init(
      state: String, root: String, address: String, executable: String, shims: [String: String] = Self.defaultShims, debug: Bool = false,
      commandTimeout: Duration = .seconds(30), reattachTimeout: Duration = .seconds(5), stateTimeout: Duration = .seconds(2),
      shutdownTimeout: Duration = .seconds(3)
    ) {
      self.state = state
      self.root = root
      self.address = address
      self.executable = executable
      self.shims = shims
      self.debug = debug
      self.commandTimeout = commandTimeout
      self.reattachTimeout = reattachTimeout
      self.stateTimeout = stateTimeout
      self.shutdownTimeout = shutdownTimeout
    }
  }
}

extension ShimRuntime.Configuration {
  /// The component's directory name, the same below `state` and `root`, as containerd names it.
  static let component = "io.containerd.runtime.v2.task"

  var bundles: String { "\(state)/\(Self.component)" }
  var work: String { "\(root)/\(Self.component)" }
  /// Where this daemon listens for the events of its shims.
  var eventsAddress: String { "\(address).ttrpc" }
}
