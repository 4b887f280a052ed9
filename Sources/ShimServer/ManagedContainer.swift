import CLinux
import LinuxRuntime
import ShimWire

/// A container with its processes.
final class ManagedContainer {
  let id: String
  let bundle: String
  let container: Container
  let first: ManagedProcess
  var execs: [String: ManagedProcess] = [:]
  /// The first process has ended, and others of the container still have to be reaped before that is told.
  var heldExit: ExitRecord?
  /// What the client asked of the runtime for this container.
  let options: RuntimeOptions
  var memory: OutOfMemoryWatch?

  init(id: String, bundle: String, container: Container, first: ManagedProcess, options: RuntimeOptions) {
    self.options = options
    self.id = id
    self.bundle = bundle
    self.container = container
    self.first = first
  }

  var rootfs: String { bundle + "/rootfs" }
  var hasRunningExecs: Bool { execs.values.contains { $0.phase == .running } }

  /// A frozen process does not even die of SIGKILL before it is thawed.
  func thawToDie(_ signal: Int32) throws(RuntimeError) {
    if signal == SIGKILL, container.state == .paused { try container.resume() }
  }

  func process(_ execID: String) throws(ServiceError) -> ManagedProcess {
    if execID.isEmpty { return first }
    guard let found = execs[execID] else { throw ServiceError(.notFound, "process \(execID) of container \(id) does not exist") }
    return found
  }
}
