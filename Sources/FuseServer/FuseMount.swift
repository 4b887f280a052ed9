import CFuse
import CLinux
import Dispatch
import LayerIndex
import Protocols
import Synchronization
import SystemKit

/// A stack of layers as a read-only file system, whose bytes are fetched when they are read.
///
/// The kernel is answered until the mount is gone: by `unmount`, or from outside. A read that cannot be served is EIO, with a line in the log that names
/// layer, file and cause; the next read of the same place tries again.
public final class FuseMount: Sendable {
  public typealias Log = @Sendable (String) -> Void

  public let target: String
  private let device: Int32
  private let service: Service
  private let serving = DispatchGroup()
  private let isClosed = Mutex(false)

  /// What the C side hands back with every read.
  private final class Service: Sendable {
    let tree: FlatTree
    let cache: SpanCache
    let log: Log
    let reads = DispatchQueue(label: "fuse reads", attributes: .concurrent)
    /// Reads that have not been answered yet.
    let open = DispatchGroup()
    private let blobs: [Digest]

    init(_ layers: [(index: LayerIndex, source: any LayerSource)], room: Int, log: @escaping Log) throws(ContainerdError) {
      tree = FlatTree(try MergedTree(layers.map(\.index)))
      cache = SpanCache(layers, room: room)
      blobs = layers.map(\.index.blob)
      self.log = log
    }

    /// Called on a thread that must go on reading requests: the work is done elsewhere.
    func read(device: Int32, number: UInt64, node: Int, offset: Int64, count: Int) {
      open.enter()
      reads.async {
        self.answer(device: device, number: number, node: node, offset: offset, count: count)
        self.open.leave()
      }
    }

    private func answer(device: Int32, number: UInt64, node: Int, offset: Int64, count: Int) {
      guard let contents = tree.contents[node] else {
        cfuse_reply(device, number, EIO, nil, 0)
        return
      }
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 4096)
      defer { buffer.deallocate() }
      // What is in no piece is a hole.
      buffer.initializeMemory(as: UInt8.self, repeating: 0)
      let wanted = offset..<offset + Int64(count)
      do {
        for piece in contents.pieces {
          let part = wanted.clamped(to: piece.offset..<piece.offset + piece.count)
          if part.isEmpty { continue }
          let place = piece.place + part.lowerBound - piece.offset
          let target = UnsafeMutableRawBufferPointer(rebasing: buffer[Int(part.lowerBound - offset)..<Int(part.upperBound - offset)])
          try cache.copy(place..<place + part.upperBound - part.lowerBound, of: contents.layer, to: target)
        }
        cfuse_reply(device, number, 0, buffer.baseAddress, count)
      } catch {
        log("\(contents.name) of layer \(blobs[contents.layer]), \(count) bytes at \(offset): \(error)")
        cfuse_reply(device, number, EIO, nil, 0)
      }
    }
  }

  /// Mounts the layers, from below, at an existing directory. Needs the right to mount.
  /// - Parameters:
  ///   - room: bytes of unpacked spans that are kept in memory.
  ///   - threads: how many read requests from the kernel; names and attributes are answered by them at once.
  public init(
    _ layers: [(index: LayerIndex, source: any LayerSource)], at target: String, room: Int = 64 << 20, threads: Int = 2, log: @escaping Log = { _ in }
  ) throws(ContainerdError) {
    for (index, _) in layers { try index.check() }
    service = try Service(layers, room: room, log: log)
    self.target = target
    device = cfuse_mount(target, "containerd-ref")
    if device < 0 {
      let error = SystemError.last("mount fuse", target)
      throw ContainerdError(error.errno == EPERM ? .permissionDenied : error.errno == ENOENT ? .notFound : .unknown, "\(target): \(error)")
    }
    let started = (0..<max(1, threads)).count { serve($0) }
    if started == 0 {
      // Whoever looked at it would wait for ever.
      umount2(target, Int32(MNT_DETACH))
      close(device)
      throw ContainerdError(.resourceExhausted, "\(target): no thread could be started that answers the kernel")
    }
    raiseReadAhead()
  }

  /// Bytes of layers that were fetched so far.
  public var fetched: Int64 { service.cache.fetched }
  /// Files, directories and links.
  public var nodes: Int { service.tree.count }

  /// - Returns: whether there is one reader more.
  private func serve(_ number: Int) -> Bool {
    let (device, service, serving) = (device, service, serving)
    serving.enter()
    let failure = Thread.detached("fuse \(number)") {
      let context = Unmanaged.passRetained(service)
      let result = cfuse_serve(
        device, service.tree.tree,
        { context, device, number, node, offset, count in
          guard let context else { return }
          Unmanaged<Service>.fromOpaque(context).takeUnretainedValue().read(
            device: device, number: number, node: Int(node), offset: Int64(offset), count: Int(count))
        }, context.toOpaque())
      context.release()
      if result != 0 { service.log("a reader of the FUSE device ended: \(SystemError(errno: result, operation: "read", object: "/dev/fuse"))") }
      serving.leave()
    }
    guard let failure else { return true }
    serving.leave()
    service.log("no thread for the FUSE device: \(failure)")
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

  /// Until the mount is gone, whoever ends it. Blocking.
  public func waitForEnd() {
    serving.wait()
    service.open.wait()
    let mine = isClosed.withLock { closed in
      defer { closed = true }
      return !closed
    }
    if mine { close(device) }
  }
}
