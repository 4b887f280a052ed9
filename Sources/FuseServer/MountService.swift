import CFuse
import CLinux
import Dispatch
import LazyLayers
import Protocols
import Synchronization
import SystemKit

/// Answers the reads of one mount. What the C side hands back with every read.
final class MountService: Sendable {
  let tree: FlatTree
  let log: FuseMount.Log
  /// What the device is still needed for: reads that have not been answered yet, files that are being given away.
  let open = DispatchGroup()
  private let layers: [LazyLayer]
  private let archives: Archives
  private let directory: @Sendable (Int) -> String?
  private let reads = DispatchQueue(label: "fuse reads", attributes: .concurrent)
  private let neighbours: Neighbours
  private let repeats = RepeatedReads()
  private let answered = Atomic<UInt64>(0)
  private let failed = Atomic<UInt64>(0)
  /// Of reads.
  private let failures: SparingLog
  /// Set before the first read. The session does not own us, nor we the mount: its owner has both.
  private let attached = Mutex<FuseSession?>(nil)

  init(_ tree: FlatTree, _ layers: [LazyLayer], form: FuseMount.Form, log: @escaping FuseMount.Log) {
    self.tree = tree
    self.layers = layers
    archives = Archives(tree, layers)
    self.log = log
    failures = SparingLog(log)
    directory = form.directory
    neighbours = Neighbours()
  }

  /// Reads that were answered with bytes, those that were answered with an error, and files that the kernel took unasked.
  var counts: (answered: UInt64, failed: UInt64, pushed: UInt64) {
    (answered.load(ordering: .relaxed) + archives.answered, failed.load(ordering: .relaxed), neighbours.count)
  }

  func attach(_ session: FuseSession) { attached.withLock { $0 = session } }

  var isRefused: Bool { layers.contains { $0.isPoisoned } }

  /// Makes the kernel forget what it has of a layer's files.
  func forget(_ layer: LazyLayer) {
    guard let session = attached.withLock({ $0 }), let place = layers.firstIndex(where: { $0 === layer }) else { return }
    // What was read before it was refused may be on its way to the kernel.
    neighbours.wait()
    for node in 0..<tree.count where tree.layer(of: node) == place && !tree.pieces(of: node).isEmpty {
      let error = session.forget(node)
      // Most files nobody has looked at.
      if error != 0, error != ENOENT {
        let cause = SystemError(errno: error, operation: "write", object: "/dev/fuse")
        return log("what the kernel has of layer \(layer.name.blob.digest) stays readable: \(cause)")
      }
    }
  }

  /// How the C side calls us, who must outlive it.
  var callbacks: FuseSession.Callbacks {
    FuseSession.Callbacks(
      archives: archives, read: Self.reader, touch: Self.touch, push: Self.push, backing: Self.backing, context: Unmanaged.passUnretained(self).toOpaque())
  }

  private static let reader: cfuse_reader = { context, device, number, thread, node, offset, count in
    guard let context else { return }
    Unmanaged<MountService>.fromOpaque(context).takeUnretainedValue().read(
      RequestedRead(device: device, number: number, thread: thread, node: Int(node), wanted: Int64(offset)..<Int64(offset) + Int64(count)))
  }

  private static let touch: cfuse_toucher = { context, layer, span in
    guard let context else { return }
    Unmanaged<MountService>.fromOpaque(context).takeUnretainedValue().layers[Int(layer)].touch(Int(span))
  }

  private static let push: cfuse_pusher = { context, _, directory in
    guard let context else { return }
    Unmanaged<MountService>.fromOpaque(context).takeUnretainedValue().push(directory)
  }

  private func push(_ directory: UInt32) {
    guard let session = attached.withLock({ $0 }) else { return }
    // The device is not closed before.
    open.enter()
    neighbours.push(directory, with: session) { [self] in open.leave() }
  }

  private static let backing: cfuse_backing = { context, node in
    guard let context else { return -1 }
    return Unmanaged<MountService>.fromOpaque(context).takeUnretainedValue().backing(of: Int(node))
  }

  /// A descriptor of a large file that lies in a plain directory; -1 where there is none. What is in the way is never followed.
  private func backing(of node: Int) -> Int32 {
    guard let path = tree.path(ofLarge: node), let directory = directory(tree.layer(of: node)) else { return -1 }
    guard let root = try? Files.open(directory, O_PATH | O_DIRECTORY) else { return -1 }
    // RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS (linux/openat2.h).
    return clinux_openat2(root.raw, path, UInt64(O_RDONLY | O_CLOEXEC | O_NOFOLLOW), 0, 0x08 | 0x04)
  }

  private func reply(_ number: UInt64, _ error: Int32, _ bytes: UnsafeRawBufferPointer?) { attached.withLock { $0 }?.reply(number, error, bytes) }

  /// Called on a thread that reads requests, for what could not be answered without us. What has come meanwhile is answered at once; nothing is waited for.
  func read(_ read: RequestedRead) {
    let layer = layers[tree.layer(of: read.node)]
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: read.wanted.count, alignment: 4096)
    do throws(ContainerdError) {
      if try copy(read, layer, to: buffer) {
        reply(read.number, 0, UnsafeRawBufferPointer(buffer))
        answered.add(1, ordering: .relaxed)
        buffer.deallocate()
        attached.withLock { $0 }?.notice(read.node)
        return
      }
    } catch {
      buffer.deallocate()
      return fail(read, error)
    }
    buffer.deallocate()
    var deadline = layer.deadline
    if let first = repeats.first(of: read) {
      if first.deadline <= .now { return fail(read, first.error) }
      deadline = first.deadline
    }
    open.enter()
    load(read, layer, by: deadline)
  }

  /// Has what is missing loaded, and answers when it is here.
  private func load(_ read: RequestedRead, _ layer: LazyLayer, by deadline: ContinuousClock.Instant) {
    let wanted = read.wanted
    let ranges = tree.pieces(of: read.node).compactMap { piece -> Range<Int64>? in
      let part = wanted.clamped(to: piece.offset..<piece.offset + piece.count)
      return part.isEmpty ? nil : piece.place + (part.lowerBound - piece.offset)..<piece.place + (part.upperBound - piece.offset)
    }
    // One after another: a read has one piece, but for sparse files.
    let left = Mutex(ranges.count)
    let failure = Mutex<ContainerdError?>(nil)
    for range in ranges {
      layer.want(range, by: deadline) { [self] error in
        if let error { failure.withLock { $0 = error } }
        let isLast = left.withLock { left in
          left -= 1
          return left == 0
        }
        if !isLast { return }
        reads.async { [self] in
          answer(read, layer, failure.withLock { $0 }, by: deadline)
          open.leave()
        }
      }
    }
  }

  private func answer(_ read: RequestedRead, _ layer: LazyLayer, _ failure: ContainerdError?, by deadline: ContinuousClock.Instant) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: read.wanted.count, alignment: 4096)
    defer { buffer.deallocate() }
    do throws(ContainerdError) {
      if let failure { throw failure }
      guard try copy(read, layer, to: buffer) else {
        // It was forgotten since: the disk has not taken it.
        if deadline <= .now { throw ContainerdError(.unavailable, "layer \(layer.name.blob.digest): what was loaded is not here any more") }
        open.enter()
        return load(read, layer, by: deadline)
      }
      reply(read.number, 0, UnsafeRawBufferPointer(buffer))
      answered.add(1, ordering: .relaxed)
      attached.withLock { $0 }?.notice(read.node)
    } catch {
      // Before it is answered: the kernel may ask again at once.
      repeats.failed(read, error, deadline: deadline)
      fail(read, error)
    }
  }

  private func fail(_ read: RequestedRead, _ error: ContainerdError) {
    failures.add { "\(tree.path(of: read.node)) cannot be read: \(error.message)" }
    failed.add(1, ordering: .relaxed)
    reply(read.number, EIO, nil)
  }

  /// - Returns: false if a part of it is not here.
  private func copy(_ read: RequestedRead, _ layer: LazyLayer, to buffer: UnsafeMutableRawBufferPointer) throws(ContainerdError) -> Bool {
    let wanted = read.wanted
    var filled: Int64 = 0
    for piece in tree.pieces(of: read.node) {
      let part = wanted.clamped(to: piece.offset..<piece.offset + piece.count)
      if part.isEmpty { continue }
      let place = piece.place + (part.lowerBound - piece.offset)
      let target = UnsafeMutableRawBufferPointer(rebasing: buffer[Int(part.lowerBound - wanted.lowerBound)..<Int(part.upperBound - wanted.lowerBound)])
      if filled == 0, part.count < wanted.count {
        // What is in no piece is a hole.
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
      }
      if try !layer.copy(place..<place + Int64(part.count), to: target) { return false }
      filled += Int64(part.count)
    }
    if filled == 0 { buffer.initializeMemory(as: UInt8.self, repeating: 0) }
    return true
  }
}
