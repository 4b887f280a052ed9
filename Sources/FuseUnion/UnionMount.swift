import BlockingIO
import CLibFuse
import CLinux
import CUnion
import Dispatch
import Protocols
import Synchronization
import SystemKit

/// A writable union of directories, mounted and served until it is unmounted, whoever does that.
///
/// On disk it is overlayfs's form: the kernel's overlay, or a differ, reads the same upper directory.
public final class UnionMount: Sendable {
  public struct Layers: Sendable, Hashable, Codable {
    /// Nearest first.
    public var lowers: [String]
    /// Of each lower directory where its catalog would be (`UnionMount.catalog(_:in:)`). One that is not there, or not of this directory any more, is done without.
    public var catalogs: [String]?
    public var upper: String
    /// On the same file system as `upper`; what an earlier server left in it is removed.
    public var work: String
    /// Marks are `user.overlay.*`: where `trusted.*` may not be written, in a user namespace.
    public var usesUserAttributes: Bool

    public init(lowers: [String], catalogs: [String]? = nil, upper: String, work: String, usesUserAttributes: Bool = false) {
      self.lowers = lowers
      self.catalogs = catalogs
      self.upper = upper
      self.work = work
      self.usesUserAttributes = usesUserAttributes
    }
  }

  /// The way to the kernel.
  public enum Transport: String, Sendable, CaseIterable {
    /// `/dev/fuse` by ourselves: what a successor can go on with.
    case raw
    /// libfuse: a second opinion in tests, and what is left where the raw device must not be spoken to. It has no O_TMPFILE and no syncfs(2).
    case libfuse
  }

  public let target: String
  private let device: Int32
  /// With libfuse; closes the device.
  private let session: Session?
  private let union: Handle
  private let serving = DispatchGroup()
  private let isClosed = Mutex(false)

  private final class Handle: @unchecked Sendable {
    let raw: OpaquePointer
    init(_ raw: OpaquePointer) { self.raw = raw }
  }

  private struct Session: @unchecked Sendable {
    let raw: OpaquePointer
  }

  /// Mounts at an existing directory and begins to answer. Blocking.
  /// - Parameters:
  ///   - threads: how many answer; one of them takes requests, and the others are needed while files are copied up or wait for the disk. Unless it is said, more
  ///     where lower directories are themselves in FUSE: who waits there for a registry keeps none from being answered.
  ///   - passesThrough: whether the kernel reads and writes files of the upper directory itself, where it allows that.
  public convenience init(
    _ layers: Layers, at target: String, transport: Transport = .raw, threads: Int? = nil, passesThrough: Bool = true,
    log: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(ContainerdError) {
    let union = try Self.open(layers, target, passesThrough: passesThrough)
    do throws(ContainerdError) {
      switch transport {
      case .raw: try self.init(union, try Self.mountDevice(target), nil, layers, target, threads, log)
      case .libfuse:
        guard let session = clibfuse_union(union.raw, target, Self.source) else { throw Self.mountFailure(target) }
        try self.init(union, clibfuse_device(session), Session(raw: session), layers, target, threads, log)
      }
    } catch {
      cunion_close(union.raw)
      throw error
    }
  }

  /// Begins to answer for a mount that is there, or goes on where a server that was killed has stopped. Blocking.
  /// - Parameters:
  ///   - device, state: of the mount's keeper (`UnionKeeper`). The device is ours from here on.
  public convenience init(
    serving device: Int32, state: Int32, _ layers: Layers, at target: String, threads: Int? = nil, log: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(ContainerdError) {
    let union = try Self.open(layers, target, passesThrough: true, state: state)
    do throws(ContainerdError) {
      let failure = cunion_take_over(union.raw, device)
      if failure != 0 {
        throw ContainerdError.failedPrecondition("\(target): \(SystemError(errno: failure, operation: "take over", object: "/dev/fuse"))")
      }
      try self.init(union, device, nil, layers, target, threads, log)
    } catch {
      cunion_close(union.raw)
      throw error
    }
  }

  /// Does not close the union when it throws.
  private init(
    _ union: Handle, _ device: Int32, _ session: Session?, _ layers: Layers, _ target: String, _ threads: Int?, _ log: @escaping @Sendable (String) -> Void
  ) throws(ContainerdError) {
    self.target = target
    self.union = union
    self.device = device
    self.session = session
    let started = (0..<max(1, threads ?? (layers.lowers.contains(where: Self.isFetched) ? 24 : 8))).count { serve($0, log) }
    if started == 0 {
      // Whoever looked at it would wait for ever.
      umount2(target, Int32(MNT_DETACH))
      if let session { clibfuse_close(session.raw) } else { close(device) }
      throw ContainerdError(.resourceExhausted, "\(target): no thread could be started that answers the kernel")
    }
  }

  private static func open(_ layers: Layers, _ target: String, passesThrough: Bool, state: Int32? = nil) throws(ContainerdError) -> Handle {
    var message = [CChar](repeating: 0, count: 1024)
    let words = (layers.lowers + (layers.catalogs ?? [])).map { strdup($0) }
    defer { for word in words { free(word) } }
    let pointers = words.map { UnsafePointer($0) }
    let count = layers.lowers.count
    let hasCatalogs = words.count == 2 * count
    let opened = pointers.withUnsafeBufferPointer { lowers in
      layers.upper.withCString { upper in
        layers.work.withCString { work in
          var options = cunion_options(
            lowers: lowers.baseAddress, lower_count: count, catalogs: hasCatalogs ? lowers.baseAddress.map { $0 + count } : nil, upper: upper, work: work,
            user_xattr: layers.usesUserAttributes ? 1 : 0,
            passthrough: passesThrough ? 1 : 0, has_state: state == nil ? 0 : 1, state: state ?? -1)
          return cunion_open(&options, &message, message.count)
        }
      }
    }
    if let opened { return Handle(opened) }
    let text = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    throw ContainerdError.failedPrecondition("union at \(target): \(String(decoding: text, as: UTF8.self))")
  }

  /// Writes down the names and attributes of everything in a directory that nobody will write to any more, in a file that unions over it read instead. Blocking:
  /// a walk through the directory.
  /// - Throws: `ENAMETOOLONG` if it is more than 128 levels deep, `EAGAIN` if it was changed meanwhile.
  public static func catalog(_ directory: String, in file: String) throws(SystemError) {
    let failure = cunion_catalog(directory, file)
    if failure != 0 { throw SystemError(errno: failure, operation: "make a catalog of", object: directory) }
  }

  static func mountDevice(_ target: String) throws(ContainerdError) -> Int32 {
    let device = cunion_mount(target, source)
    if device >= 0 { return device }
    throw mountFailure(target)
  }

  private static let source = "containerd-ref-union"

  private static func mountFailure(_ target: String) -> ContainerdError {
    let error = SystemError.last("mount fuse", target)
    return ContainerdError(error.errno == EPERM ? .permissionDenied : error.errno == ENOENT ? .notFound : .unknown, "\(target): \(error)")
  }

  private static func isFetched(_ directory: String) -> Bool {
    var status = statfs()
    // FUSE_SUPER_MAGIC (statfs(2)).
    return statfs(directory, &status) == 0 && status.f_type == 0x6573_5546
  }

  private func serve(_ number: Int, _ log: @escaping @Sendable (String) -> Void) -> Bool {
    let (device, session, union, serving) = (device, session, union, serving)
    serving.enter()
    // Its own: the union gives it a mask and a file system user.
    let failure = DedicatedThread.detach {
      let result = if let session { clibfuse_serve(session.raw) } else { cunion_serve(union.raw, device) }
      if result != 0 { log("a reader of the FUSE device ended: \(SystemError(errno: result, operation: "read", object: "/dev/fuse"))") }
      serving.leave()
    }
    if failure == 0 { return true }
    serving.leave()
    log("no thread for the FUSE device: \(SystemError(errno: failure, operation: "pthread_create", object: "union \(number)"))")
    return false
  }

  /// Unmounts and waits for the end. `failedPrecondition` while something in it is in use. Blocking.
  public func unmount() throws(ContainerdError) {
    do { try Mounts.unmount(target) } catch {
      if error.errno == EBUSY { throw .failedPrecondition("\(target) is in use") }
      // Somebody else has unmounted it.
      if error.errno != EINVAL { throw ContainerdError(.unknown, "\(target): \(error)") }
    }
    waitForEnd()
  }

  /// Until the mount is gone. Blocking.
  public func waitForEnd() {
    serving.wait()
    let mine = isClosed.withLock { closed in
      defer { closed = true }
      return !closed
    }
    if !mine { return }
    if let session { clibfuse_close(session.raw) } else { close(device) }
    cunion_close(union.raw)
  }
}
