import CFuse
import CLibFuse
import CLinux
import Protocols
import SystemKit

/// One device that is served, by one of the transports. Safe from any thread; `serve` blocks.
final class FuseSession: @unchecked Sendable {
  private enum Way {
    case raw
    case library(OpaquePointer)
  }
  let device: Int32
  private let way: Way
  private let service: UnsafeMutablePointer<cfuse_service>
  /// What is known of every file's opens, in shared memory; nil where OPEN is not answered.
  private let state: StateMemory?

  /// A block that outlives the process, if somebody keeps its descriptor.
  final class StateMemory: @unchecked Sendable {
    let descriptor: Int32
    let start: UnsafeMutableRawPointer
    private let count: Int

    /// - Parameter adopting: of a predecessor, of which a copy is taken; nil makes one.
    init(_ tree: FlatTree, adopting: Int32? = nil) throws(SystemError) {
      count = cfuse_state_size(tree.tree)
      if let adopting {
        descriptor = try check("dup", "fuse state") { clinux_fcntl(adopting, F_DUPFD_CLOEXEC, 0) }
      } else {
        descriptor = try check("memfd_create", "fuse state") { clinux_memfd_create("fuse state", 1) }
        let (file, length) = (descriptor, count)
        try check("ftruncate", "fuse state") { ftruncate(file, off_t(length)) }
      }
      guard let start = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), start != UnsafeMutableRawPointer(bitPattern: -1) else {
        throw SystemError.last("mmap", "fuse state")
      }
      self.start = start
    }

    deinit {
      munmap(start, count)
      close(descriptor)
    }
  }

  /// Mounts, and answers until the kernel has said what it can do.
  init(
    _ transport: FuseTransport, at target: String, _ tree: FlatTree, opens: Bool, _ callbacks: Callbacks
  ) throws(SystemError) {
    state = opens ? try StateMemory(tree) : nil
    service = Self.service(tree, state, callbacks)
    switch transport {
    case .raw:
      device = cfuse_mount(target, "containerd-ref")
      if device < 0 { throw SystemError.last("mount fuse", target) }
      way = .raw
      var settled = cfuse_init_state()
      let status = cfuse_handshake(device, service, &settled)
      if status != 0 {
        umount2(target, Int32(MNT_DETACH))
        close(device)
        throw SystemError(errno: status, operation: "begin to speak to", object: target)
      }
    case .libfuse:
      var options = cfuse_mount_options(allow_other: true, default_permissions: true, nosuid: false, nodev: false, read_only: true)
      guard let session = clibfuse_mount(target, "containerd-ref", &options, service) else { throw SystemError.last("mount fuse", target) }
      way = .library(session)
      device = clibfuse_device(session)
    }
  }

  /// Goes on with a device whose server has ended.
  init(
    takingOver device: Int32, state descriptor: Int32?, _ tree: FlatTree, _ callbacks: Callbacks
  ) throws(SystemError) {
    self.device = device
    way = .raw
    if let descriptor { state = try StateMemory(tree, adopting: descriptor) } else { state = nil }
    service = Self.service(tree, state, callbacks)
    let status = cfuse_take_over(device, service)
    if status != 0 { throw SystemError(errno: status, operation: "take over", object: "a FUSE device") }
  }

  deinit { service.deallocate() }

  /// Who is asked for what the tree does not say.
  struct Callbacks {
    var archives: Archives
    var read: cfuse_reader
    var touch: cfuse_toucher
    var push: cfuse_pusher
    var backing: cfuse_backing
    var context: UnsafeMutableRawPointer
  }

  private static func service(_ tree: FlatTree, _ state: StateMemory?, _ callbacks: Callbacks) -> UnsafeMutablePointer<cfuse_service> {
    let service = UnsafeMutablePointer<cfuse_service>.allocate(capacity: 1)
    service.initialize(
      to: cfuse_service(
        tree: tree.tree, read: callbacks.read, context: callbacks.context, archives: callbacks.archives.start,
        archive_count: UInt32(callbacks.archives.count), touch: callbacks.touch, answered: callbacks.archives.answeredPlace, ahead: callbacks.archives.ahead,
        push: callbacks.push, state: state?.start,
        backing: state == nil ? nil : callbacks.backing, kept: 64))
    return service
  }

  /// What a successor needs: the device, and the state if there is one. None for a transport that has no successor.
  var descriptors: [Int32] {
    if case .library = way { return [] }
    return [device] + (state.map { [$0.descriptor] } ?? [])
  }

  /// Answers until the mount is gone: 0, or an errno.
  func serve() -> Int32 {
    switch way {
    case .raw: cfuse_serve_with(device, service)
    case .library(let session): clibfuse_serve(session)
    }
  }

  func reply(_ number: UInt64, _ error: Int32, _ bytes: UnsafeRawBufferPointer?) {
    // Who has asked may have gone away.
    switch way {
    case .raw: _ = cfuse_reply(device, number, error, bytes?.baseAddress, bytes?.count ?? 0)
    case .library: _ = clibfuse_reply(device, number, error, bytes?.baseAddress, bytes?.count ?? 0)
    }
  }

  /// Makes the kernel forget a file's bytes. Not on a thread that answers reads.
  func forget(_ node: Int) -> Int32 { cfuse_forget_bytes(device, UInt32(node)) }

  /// A file was read that the C side has not read itself.
  func notice(_ node: Int) { cfuse_notice(service, device, UInt32(node)) }

  /// Gives away small files of a directory; how many were taken. On one thread at a time.
  func push(_ directory: UInt32, _ buffer: UnsafeMutablePointer<UInt8>) -> UInt32 { cfuse_push_directory(service, device, directory, buffer) }

  /// When nobody serves any more and everything is answered.
  func end() {
    switch way {
    case .raw: close(device)
    case .library(let session): clibfuse_close(session)
    }
  }

  /// nil where OPEN is not answered.
  var counters: cfuse_counters? {
    guard let state else { return nil }
    var counters = cfuse_counters()
    cfuse_counters_of(state.start, &counters)
    return counters
  }
}
