import BlockingIO
import CLinux
import LayerIndex
import Protocols
import Synchronization
import SystemKit

/// One layer of which a part is here.
///
///     spans     where in the blob what is (SpanTable)
///     present   which of them are here (Presence)
///     archive   the unpacked archive, with holes where a span is missing
///     access    which of them somebody needed first (AccessList)
///     packed    the blob, likewise, until it was checked as a whole
///     boot      the boot of the machine in which they were written
///     complete  made when the whole layer has been checked, after everything else was on disk
///     poisoned  made when it is not the layer that the image names; says why
///
/// No byte of a span is written before its digest was right. Safe from any thread; nothing here waits for the network.
public final class LazyLayer: Sendable {
  /// What it is: its blob, what the blob is unpacked, and in which words messages speak of it.
  public struct Name: Sendable, Hashable {
    public var blob: Descriptor
    public var diffID: Digest
    /// The image that it was loaded for.
    public var image: String
    public init(blob: Descriptor, diffID: Digest, image: String) {
      self.blob = blob
      self.diffID = diffID
      self.image = image
    }
  }

  public let name: Name
  public let directory: String
  public let spans: SpanTable
  let presence: Presence
  let archive: Int32
  let packed: Int32
  /// 1 when those who read the archive without asking us must ask: it is poisoned, or what was written of it is lost.
  nonisolated(unsafe) let refusal: UnsafeMutablePointer<Atomic<UInt8>>
  /// How often everything that was here was forgotten.
  let age = Atomic(0)
  let policy: LayerPolicy
  let source: any LayerSource
  let work: WorkPlace
  let pool: BlockingPool
  /// Where whole layers are checked: nobody who reads waits behind that.
  let checks: BlockingPool
  let log: @Sendable (String) -> Void
  let completed: @Sendable (LazyLayer) -> Void
  let recorded: @Sendable (LazyLayer, [UInt8]) -> Void
  let isRecording = Atomic(false)
  /// Whoever writes the list: whoever comes meanwhile waits until it is written.
  let saving = Mutex(())
  let state = Mutex(State())

  /// Opens the layer's directory, whose `spans` must be there. Blocking.
  init(
    _ name: Name, directory: String, source: any LayerSource, policy: LayerPolicy, work: WorkPlace, pool: BlockingPool, checks: BlockingPool,
    log: @escaping @Sendable (String) -> Void, completed: @escaping @Sendable (LazyLayer) -> Void,
    recorded: @escaping @Sendable (LazyLayer, [UInt8]) -> Void
  ) throws(ContainerdError) {
    self.name = name
    self.directory = directory
    self.policy = policy
    self.source = source
    self.work = work
    self.pool = pool
    self.checks = checks
    self.log = log
    self.completed = completed
    self.recorded = recorded
    let spans = try SpanTable(path: directory + "/spans", blob: name.blob.digest)
    self.spans = spans
    if spans.size != name.blob.size {
      throw .failedPrecondition("layer \(name.blob.digest): its index is of \(spans.size) bytes, the image says \(name.blob.size)")
    }
    do {
      let flags = O_RDWR | O_CREAT
      let archive = try Files.open(directory + "/archive", flags, mode: 0o600)
      let (raw, length) = (archive.raw, spans.archiveSize)
      try check("ftruncate", directory + "/archive") { ftruncate(raw, off_t(length)) }
      let packed = try Files.open(directory + "/packed", flags, mode: 0o600)
      presence = try Presence(path: directory + "/present", count: spans.count)
      try Self.distrustAnotherBoot(directory, presence)
      self.archive = archive.release()
      self.packed = packed.release()
      refusal = .allocate(capacity: 1)
      refusal.initialize(to: Atomic(0))
    } catch { throw ContainerdError(error, "layer \(name.blob.digest)") }
    setEmptySpans()
    let accesses = Self.accesses(in: directory, spans, log)
    state.withLock { $0.accesses = accesses }
    if Files.exists(directory + "/complete") {
      // Only a check makes this file, when all was on disk.
      for number in 0..<spans.count { presence.set(number) }
      state.withLock { $0.phase = .checked }
      // A check that was killed when it had just said so; who cannot drop it has it a little longer.
      if spans.archive == .tar { ftruncate(self.packed, 0) }
    } else if Files.exists(directory + "/poisoned") {
      // It is wrong, whether the reason can be read or not.
      refuse((try? Files.read(directory + "/poisoned")).map { String(decoding: $0, as: UTF8.self) } ?? "it was found to be wrong before")
    } else if presence.isWhole {
      beginCheck()
    }
  }

  deinit {
    close(archive)
    close(packed)
    refusal.deallocate()
  }

  /// From now on nothing of it is read.
  func refuse(_ reason: String) {
    state.withLock { $0.phase = .poisoned(reason) }
    refusal.pointee.store(1, ordering: .releasing)
  }

  /// What a killed process has written is there; what a machine without power has written may not be, whatever the file of presence says.
  private static func distrustAnotherBoot(_ directory: String, _ presence: Presence) throws(SystemError) {
    let now = try Files.read("/proc/sys/kernel/random/boot_id")
    let path = directory + "/boot"
    let then = Files.exists(path) ? try Files.read(path) : []
    if then == now { return }
    presence.clear()
    try Files.writeAtomically(now, to: path)
  }

  // MARK: reading

  public var isPoisoned: Bool { state.withLock { if case .poisoned = $0.phase { true } else { false } } }
  /// Whole, and checked against the image.
  public var isComplete: Bool { state.withLock { if case .checked = $0.phase { true } else { false } } }
  /// Bytes of the blob that were fetched by this process.
  public var fetched: Int64 { state.withLock { $0.fetched } }
  /// Whether somebody waits for something.
  var isWanted: Bool { state.withLock { !$0.waiting.isEmpty } }

  /// Copies bytes of the archive if all of them are here, for somebody who needs them. Blocks for the disk at most.
  /// - Returns: whether they are.
  /// - Throws: `dataLoss` for a layer that is poisoned.
  public func copy(_ range: Range<Int64>, to target: UnsafeMutableRawBufferPointer) throws(ContainerdError) -> Bool {
    note(spans.spans(holding: range))
    return try look(range, to: target)
  }

  /// The same, for nobody in particular.
  public func look(_ range: Range<Int64>, to target: UnsafeMutableRawBufferPointer) throws(ContainerdError) -> Bool {
    if let reason = state.withLock({ $0.poison }) { throw ContainerdError(.dataLoss, "layer \(name.blob.digest): \(reason)") }
    let age = age.load(ordering: .acquiring)
    for span in spans.spans(holding: range) where !presence[span] { return false }
    var done = 0
    while done < target.count {
      let count = pread(archive, target.baseAddress?.advanced(by: done), target.count - done, off_t(range.lowerBound) + off_t(done))
      if count < 0, clinux_errno() == EINTR { continue }
      if count < 0 { throw ContainerdError(SystemError.last("pread", directory + "/archive"), "layer \(name.blob.digest)") }
      if count == 0 { throw ContainerdError(.dataLoss, "layer \(name.blob.digest): its archive ends at \(range.lowerBound + Int64(done))") }
      done += count
    }
    return self.age.load(ordering: .acquiring) == age
  }

  /// Somebody who reads without asking us has read from a span, for the first time.
  public func touch(_ span: Int) { note(span..<span + 1) }

  /// What it takes to read the archive without asking us. Good for as long as we live.
  public struct View: @unchecked Sendable {
    public let file: Int32
    /// How many spans there are.
    public let count: Int
    /// A byte for each span, not zero when its bytes are in the file; set atomically by others.
    public let present: UnsafeRawPointer
    /// Where the spans end: an `Int64` every `stride` bytes.
    public let ends: UnsafeRawPointer
    public let stride: Int
    /// A byte that is not zero when nothing may be read without asking us any more; set atomically by others.
    public let refused: UnsafeRawPointer
  }

  public var view: View {
    let ends = spans.ends
    return View(
      file: archive, count: spans.count, present: presence.memory, ends: ends.start, stride: ends.stride, refused: UnsafeRawPointer(refusal))
  }

  /// The bytes of the archive that are here, of all.
  public var progress: (here: Int64, all: Int64) {
    var here: Int64 = 0
    for span in 0..<spans.count where presence[span] { here += spans.archiveRange(span).upperBound - spans.archiveRange(span).lowerBound }
    return (here, spans.archiveSize)
  }
}

/// A layer in numbers.
extension LazyLayer {
  public struct Figures: Sendable, Hashable {
    /// Bytes of the blob that were fetched by this process.
    public var fetched: Int64
    /// Bytes of the archive that are here, of all.
    public var here: Int64
    public var all: Int64
    public var isComplete: Bool
    public var isPoisoned: Bool
    /// Reads that wait for bytes.
    public var waiting: Int
    /// Requests to the source that failed, or brought what was wrong.
    public var fetchErrors: Int

    public init(fetched: Int64, here: Int64, all: Int64, isComplete: Bool, isPoisoned: Bool, waiting: Int, fetchErrors: Int) {
      self.fetched = fetched
      self.here = here
      self.all = all
      self.isComplete = isComplete
      self.isPoisoned = isPoisoned
      self.waiting = waiting
      self.fetchErrors = fetchErrors
    }
  }

  public var figures: Figures {
    let (here, all) = progress
    return state.withLock { state in
      var waiting: Set<ObjectIdentifier> = []
      for waiters in state.waiting.values { for waiter in waiters where !waiter.isTold { waiting.insert(ObjectIdentifier(waiter)) } }
      var (isComplete, isPoisoned) = (false, false)
      switch state.phase {
      case .checked: isComplete = true
      case .poisoned: isPoisoned = true
      case .filling, .checking: break
      }
      return Figures(
        fetched: state.fetched, here: here, all: all, isComplete: isComplete, isPoisoned: isPoisoned, waiting: waiting.count, fetchErrors: state.fetchErrors)
    }
  }
}

extension ContainerdError {
  init(_ error: SystemError, _ object: String) {
    let code: Code =
      switch error.errno {
      case ENOENT, ENOTDIR: .notFound
      case ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM: .resourceExhausted
      case EACCES, EPERM, EROFS: .permissionDenied
      default: .unknown
      }
    self.init(code, "\(object): \(error)")
  }
}
