import ConformanceSuites
import Protocols

/// The life of a container as a daemon's client has it in hand: each step apart from the next.
public struct ContainerLifeSubject: Sendable {
  /// What a container runs.
  public struct Order: Sendable {
    public var id: String
    /// For busybox's shell. `/out` is a directory of the case's.
    public var script: String
    /// A network namespace of its own.
    public var network: Bool
    /// The shim has a mount namespace of its own: what it mounts, the daemon does not see.
    public var shimApart: Bool
    public init(_ id: String, _ script: String, network: Bool = false, shimApart: Bool = false) {
      (self.id, self.script, self.network, self.shimApart) = (id, script, network, shimApart)
    }
  }
  public typealias Step<Value> = @Sendable (_ id: String) async throws -> Value

  /// Prepares the snapshot, and makes the container known. Nothing runs.
  public var register: @Sendable (Order) async throws -> Void
  /// Makes the task: the process that holds the container.
  public var create: Step<UInt32>
  public var start: Step<Void>
  public var status: Step<ProcessStatus>
  public var kill: Step<Void>
  /// The exit code.
  public var wait: Step<UInt32>
  public var deleteTask: Step<Void>
  /// Forgets the container and removes its snapshot.
  public var forget: Step<Void>
  /// The topics of the events of this case's namespace, in the order in which they came.
  public var topics: @Sendable () -> [String]
  /// What containers see as `/out`.
  public var output: String
  /// Mount points that have to do with the container, as the daemon sees them.
  public var mountPoints: @Sendable (_ id: String) throws -> [String]
  public var busybox: String
  public var patience: Double
  public var note: @Sendable (_ text: String) -> Void

  public init(
    register: @escaping @Sendable (Order) async throws -> Void, create: @escaping Step<UInt32>, start: @escaping Step<Void>,
    status: @escaping Step<ProcessStatus>, kill: @escaping Step<Void>, wait: @escaping Step<UInt32>, deleteTask: @escaping Step<Void>,
    forget: @escaping Step<Void>, topics: @escaping @Sendable () -> [String], output: String, mountPoints: @escaping @Sendable (String) throws -> [String],
    busybox: String, patience: Double, note: @escaping @Sendable (String) -> Void
  ) {
    self.register = register
    self.create = create
    self.start = start
    self.status = status
    self.kill = kill
    self.wait = wait
    self.deleteTask = deleteTask
    self.forget = forget
    self.topics = topics
    self.output = output
    self.mountPoints = mountPoints
    self.busybox = busybox
    self.patience = patience
    self.note = note
  }
}
