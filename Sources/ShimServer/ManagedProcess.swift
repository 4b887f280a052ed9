import LinuxRuntime
import ShimWire

/// A process of a container as the daemon knows it: the first one, or one that was added.
final class ManagedProcess {
  enum Phase { case created, running, stopped }

  /// Empty for the first process.
  let execID: String
  let paths: ProcessIO.Paths
  /// What to run; nil for the first process, whose container says it.
  let spec: ProcessSpec?
  var pid: Int32 = 0
  var phase = Phase.created
  var io: ProcessIO?
  var inputClosed = false
  /// Set before the start, applied by it.
  var size: (width: UInt32, height: UInt32)?
  private(set) var exit: ExitRecord?
  private var waiters: [(ExitRecord?) -> Void] = []

  init(execID: String, paths: ProcessIO.Paths, spec: ProcessSpec?) {
    self.execID = execID
    self.paths = paths
    self.spec = spec
  }

  /// Answers at once if the process has ended.
  func wait(_ answer: @escaping (ExitRecord?) -> Void) {
    if let exit { answer(exit) } else { waiters.append(answer) }
  }

  func ended(_ record: ExitRecord) {
    exit = record
    phase = .stopped
    release(record)
  }

  /// Nobody will ever end it: it was taken away before it ran.
  func release(_ record: ExitRecord? = nil) {
    let answers = waiters
    waiters = []
    for answer in answers { answer(record) }
  }
}
