import BlockingIO
import CFuse
import CLinux
import Dispatch
import LazyLayers
import Protocols
import Synchronization
import SystemKit

/// A stack of layers as a read-only file system, whose bytes are fetched when they are read.
///
/// The kernel is answered until the mount is gone: by `unmount`, or from outside. A read that cannot be served is EIO, with a line in the log that names
/// image, layer, span, file and cause; the next read of the same place tries again.
public final class FuseMount: Sendable {
  public typealias Log = @Sendable (String) -> Void

  /// How it is served.
  public struct Form: Sendable {
    public var transport: FuseTransport
    /// How many read requests from the kernel; what is on this machine is answered by them at once.
    public var threads: Int
    /// Whether every OPEN is answered, so that complete large files can be passed through. Else OPEN is never asked: right for many small files.
    public var answersOpens: Bool
    /// Where a layer's files are in plain directories, by the layer's place from below; nil while they are not. Must be quick.
    public var directory: @Sendable (Int) -> String?

    public init(
      transport: FuseTransport = .raw, threads: Int = 2, answersOpens: Bool = false, directory: @escaping @Sendable (Int) -> String? = { _ in nil }
    ) {
      self.transport = transport
      self.threads = max(1, threads)
      self.answersOpens = answersOpens
      self.directory = directory
    }
  }

  public let target: String
  private let session: FuseSession
  private let service: MountService
  private let serving = DispatchGroup()
  private let isClosed = Mutex(false)

  /// Mounts at an existing directory and begins to answer.
  /// - Parameters:
  ///   - layers: from below, as the tree has them.
  ///   - keep: is given the descriptors that a successor needs, before anybody can use the mount; a throw unmounts.
  public init(
    _ tree: FlatTree, _ layers: [LazyLayer], at target: String, form: Form = Form(), keep: ([Int32]) throws -> Void = { _ in }, log: @escaping Log = { _ in }
  ) throws {
    self.target = target
    service = MountService(tree, layers, form: form, log: log)
    do {
      session = try FuseSession(
        form.transport, at: target, tree, opens: form.answersOpens, service.callbacks)
    } catch {
      throw ContainerdError(error.code, "\(target): \(error)")
    }
    service.attach(session)
    do {
      if !session.descriptors.isEmpty { try keep(session.descriptors) }
      try begin(form.threads)
    } catch {
      // Whoever looked at it would wait for ever.
      umount2(target, Int32(MNT_DETACH))
      session.end()
      throw error
    }
  }

  /// Goes on with a mount whose server has ended: nobody who uses it sees more than a pause.
  /// - Parameter descriptors: what `keep` was given, or copies: the mount's from now on. After a throw they are still the caller's.
  public init(
    takingOver descriptors: [Int32], _ tree: FlatTree, _ layers: [LazyLayer], at target: String, form: Form = Form(), log: @escaping Log = { _ in }
  ) throws {
    self.target = target
    service = MountService(tree, layers, form: form, log: log)
    guard let device = descriptors.first else { throw ContainerdError.invalidArgument("\(target): no descriptor to take over") }
    do {
      session = try FuseSession(
        takingOver: device, state: descriptors.dropFirst().first, tree, service.callbacks)
    } catch { throw ContainerdError(error.code, "\(target): \(error)") }
    service.attach(session)
    try begin(form.threads)
    // The session has its own copy of what is not the device.
    for descriptor in descriptors.dropFirst() { close(descriptor) }
  }

  private func begin(_ threads: Int) throws(ContainerdError) {
    let started = (0..<threads).count { serve($0) }
    if started == 0 { throw ContainerdError(.resourceExhausted, "\(target): no thread could be started that answers the kernel") }
    raiseReadAhead()
  }

  /// Lends what a successor needs, as `keep` was given it; none where there is no successor.
  /// - Returns: false, with the body not called, of a mount that is gone.
  public func lend(to body: ([Int32]) throws -> Void) rethrows -> Bool {
    try isClosed.withLock { closed in
      if closed { return false }
      try body(session.descriptors)
      return true
    }
  }

  /// Whether one of its layers turned out to be another: nothing is read of that.
  public var isRefused: Bool { service.isRefused }

  /// Makes the kernel forget what it has of a layer that turned out to be another: who reads on, or has it mapped, asks us, and is refused. Waits for reads that are
  /// unanswered. Blocking.
  public func forget(_ layer: LazyLayer) {
    isClosed.withLock { closed in if !closed { service.forget(layer) } }
  }

  /// Files, directories and links.
  public var nodes: Int { service.tree.count }

  /// Opens of files that were passed through to the kernel, and of those that were not; nil where opens are not answered.
  public var opens: (passed: UInt64, cached: UInt64)? { session.counters.map { ($0.opens_passthrough, $0.opens_cached) } }

  /// A mount in numbers, since this process began to serve it.
  public struct Figures: Sendable, Hashable {
    /// Reads that were answered with bytes, and with an error.
    public var answered: UInt64
    public var failed: UInt64
    /// Small files that the kernel was given before it asked.
    public var pushed: UInt64
    /// Of large files; nil where opens are not answered. These count from the time at which it was mounted.
    public var opensPassed: UInt64?
    public var opensCached: UInt64?

    public init(answered: UInt64, failed: UInt64, pushed: UInt64, opensPassed: UInt64? = nil, opensCached: UInt64? = nil) {
      self.answered = answered
      self.failed = failed
      self.pushed = pushed
      self.opensPassed = opensPassed
      self.opensCached = opensCached
    }
  }

  public var figures: Figures {
    let (counts, opens) = (service.counts, opens)
    return Figures(
      answered: counts.answered, failed: counts.failed, pushed: counts.pushed, opensPassed: opens?.passed, opensCached: opens?.cached)
  }

  /// - Returns: whether there is one reader more.
  private func serve(_ number: Int) -> Bool {
    let (session, service, serving) = (session, service, serving)
    serving.enter()
    let failure = DedicatedThread.detach {
      let result = withExtendedLifetime(service) { session.serve() }
      if result != 0 { service.log("a reader of the FUSE device ended: \(SystemError(errno: result, operation: "read", object: "/dev/fuse"))") }
      serving.leave()
    }
    if failure == 0 { return true }
    serving.leave()
    service.log("no thread for the FUSE device: \(SystemError(errno: failure, operation: "pthread_create", object: "reader \(number)"))")
    return false
  }

  /// The kernel allows 128 KiB for a FUSE mount, which makes memory maps slow: only this raises it.
  private func raiseReadAhead() {
    var status = stat()
    if stat(target, &status) != 0 { return }
    let device = status.st_dev
    let path = "/sys/class/bdi/\(clinux_major(device)):\(clinux_minor(device))/read_ahead_kb"
    // Where it cannot be written, a user namespace for one, reading is slower and right.
    do {
      let file = try Files.open(path, O_WRONLY | O_CLOEXEC)
      try check("write", path) { write(file.raw, "1024", 4) < 0 ? -1 : 0 }
    } catch { service.log("read-ahead stays as it is: \(error)") }
  }

  /// Unmounts, and waits until nothing is answered any more. `failedPrecondition` while something in it is in use. Blocking.
  public func unmount() throws(ContainerdError) {
    do { try Mounts.unmount(target) } catch {
      if error.errno == EBUSY { throw .failedPrecondition("\(target) is in use") }
      // Somebody else has unmounted it.
      if error.errno != EINVAL { throw ContainerdError(.unknown, "\(target): \(error)") }
    }
    waitForEnd()
  }

  /// Takes the mount away from its place. Who has something in it open keeps it, and is answered until it is closed.
  public func detach() throws(ContainerdError) {
    do { try Mounts.unmount(target, flags: Int32(MNT_DETACH)) } catch {
      if error.errno != EINVAL { throw ContainerdError(.unknown, "\(target): \(error)") }
    }
    DispatchQueue.global().async { self.waitForEnd() }
  }

  /// Until the mount is gone, whoever ends it. Blocking.
  public func waitForEnd() {
    serving.wait()
    service.open.wait()
    let mine = isClosed.withLock { closed in
      defer { closed = true }
      return !closed
    }
    if mine { session.end() }
  }
}

extension SystemError {
  /// What it is to whoever wanted a mount.
  var code: ContainerdError.Code {
    switch errno {
    case ENOENT: .notFound
    case EPERM: .permissionDenied
    case EMFILE, ENFILE, ENOMEM: .resourceExhausted
    default: .unknown
    }
  }
}
