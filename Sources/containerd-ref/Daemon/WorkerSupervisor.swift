import ArgumentParser
import CLinux
@preconcurrency import Dispatch
import Foundation
import GRPCTransport
import Protocols
import Synchronization
import SystemKit

/// Runs a server as a child process and starts another when it dies: at once, for somebody may wait for a mount that it serves.
///
/// Another one stands by, loaded and waiting for its turn: so somebody waits for what it takes to take over, not for a program to be loaded.
///
/// SIGHUP replaces it, by whatever program is in its place by then: the new one is ready before the old one is told to go, and that one first answers what it
/// was asked. SIGTERM and SIGINT end it, and us.
final class WorkerSupervisor: Sendable {
  private let arguments: [String]
  private let listener: ListeningSocket
  /// The directory is ours as long as we live: one worker after another serves it.
  private let lock: OwnedFD
  /// Its number in a worker.
  static let inheritedSocket: Int32 = 3
  static let inheritedGo: Int32 = 4
  /// Tells a worker to take no more calls, and to go when it has answered those it has. One that does not know this dies of it, which is as well.
  static let handOver = SIGUSR1
  /// How long it has for that.
  private static let lastCalls = Duration.seconds(10)
  /// A worker that dies sooner than this is started again after a pause, which grows.
  private static let young = Duration.seconds(1)
  /// What stands in its `comm` until it is a worker's turn.
  static let standbyName = "ref-standby"
  /// An event that is no signal: it is time to have one that stands by.
  private static let prepare: Int32 = 0
  /// SIGTERM or SIGINT has come.
  private let isToldToEnd = Atomic(false)
  /// Children that are gone and were not asked for.
  private let dead = Mutex<Set<pid_t>>([])

  /// - Parameter socket: where workers serve. It is listened on all the time: who connects while there is none waits for the next.
  /// - Parameter root: the snapshotter's directory; `failedPrecondition` if another supervisor has it.
  init(arguments: [String], socket: String, root: String) throws {
    self.arguments = arguments
    lock = try Self.lock(root)
    try Files.makeDirectories(Files.parent(of: socket), mode: 0o711)
    listener = try ListeningSocket(path: socket)
  }

  /// The right to serve a directory, as long as this is open. `failedPrecondition` if somebody else has it.
  static func lock(_ root: String) throws -> OwnedFD {
    try Files.makeDirectories(root, mode: 0o711)
    let path = "\(root)/server.lock"
    let lock = try Files.open(path, O_RDWR | O_CREAT, mode: 0o600)
    if clinux_flock(lock.raw, LOCK_EX | LOCK_NB) != 0 {
      throw ContainerdError.failedPrecondition("\(root) is served by another process (\(path) is locked)")
    }
    return lock
  }

  /// One that was started.
  private struct Worker {
    var pid: pid_t
    var began: ContinuousClock.Instant
    /// Tells it to begin: it waits for that, so that it never serves beside another.
    var go: OwnedPipeEnd
    var watch: any DispatchSourceRead
  }

  func run() async throws {
    let (events, happened) = AsyncStream<Int32>.makeStream()
    // One that stands by may be dead when it is told to go.
    signal(SIGPIPE, SIG_IGN)
    let numbers = [SIGTERM, SIGINT, SIGHUP, SIGCHLD]
    let sources = numbers.map { number in
      signal(number, number == SIGCHLD ? SIG_DFL : SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { [self] in
        if number == SIGTERM || number == SIGINT { isToldToEnd.store(true, ordering: .relaxed) }
        happened.yield(number)
      }
      source.resume()
      return source
    }
    defer {
      for source in sources { source.cancel() }
      listener.remove()
    }
    var worker = try start(happened)
    worker.go.begin()
    var standby: Worker?
    prepare(happened)
    var pause = Duration.zero
    // How long to wait until another one stands by, and since when this one does.
    var patience = Self.young
    var spare = ContinuousClock.now
    var isEnding = false
    // Mounts wait for a worker: from then on one that cannot begin is followed by another.
    var hasServed = false
    for await number in events {
      switch number {
      case SIGHUP:
        // Who is told to end and to begin anew ends.
        if isEnding { continue }
        let next: Worker
        do {
          next = try start(happened)
          try await ready(next.pid, inPlaceOf: worker.pid)
        } catch {
          Failure.say("the server is not replaced: \((error as? ContainerdError)?.message ?? "\(error)")")
          continue
        }
        // The one that stands by may be the old program.
        if let old = standby.take() { kill(old.pid, SIGKILL) }
        // The new one waits for its turn, but for greeting who connects. Reads that the old one has not answered are asked of it.
        kill(worker.pid, Self.handOver)
        next.go.greet()
        await gone(worker.pid, within: Self.lastCalls)
        worker = next
        worker.began = .now
        worker.go.begin()
        prepare(happened)
      case Self.prepare:
        // A worker that is being started again and again has none: it is waited for.
        if isEnding || standby != nil || worker.began.duration(to: .now) < Self.young { continue }
        do {
          standby = try start(happened)
          spare = .now
        } catch {
          // The worker serves on; the next one is started when it is needed, or a little later.
          Failure.say("no server stands by: \((error as? ContainerdError)?.message ?? "\(error)")")
          patience = min(patience * 2, .seconds(60))
          prepare(happened, after: patience)
        }
      case SIGCHLD:
        let end = await ended(worker.pid, isEnding ? 1000 : 3)
        if let pid = standby?.pid, dead.withLock({ $0.remove(pid) }) != nil {
          standby = nil
          // One that ends by itself would end again.
          patience = spare.duration(to: .now) < .seconds(60) ? min(patience * 2, .seconds(60)) : Self.young
          if end == nil { prepare(happened, after: patience) }
        }
        guard let status = end else { continue }
        if isEnding { throw Self.exit(status) }
        let age = worker.began.duration(to: .now)
        hasServed = hasServed || age >= Self.young
        if !hasServed, clinux_wifexited(status) != 0, clinux_wexitstatus(status) != 0 {
          // It has said why, and would say it again.
          throw Self.exit(status)
        }
        pause = age < Self.young ? min(max(pause * 2, .milliseconds(5)), .seconds(2)) : .zero
        if pause > .milliseconds(5) { try await Task.sleep(for: pause) }
        worker = try await successor(standby.take(), happened)
        worker.began = .now
        worker.go.begin()
        prepare(happened)
      default:
        isEnding = true
        if let standby = standby.take() { kill(standby.pid, SIGKILL) }
        kill(worker.pid, SIGTERM)
      }
    }
  }

  /// Has one started that stands by, when the worker is no longer busy with its beginning.
  private func prepare(_ happened: AsyncStream<Int32>.Continuation, after patience: Duration = young) {
    Task {
      // Nobody cancels it; after its supervisor's end nobody listens.
      try? await Task.sleep(for: patience + .milliseconds(50))
      happened.yield(Self.prepare)
    }
  }

  /// The next worker: the one that stands by, or one that is started, which may have to be tried more than once where memory is short.
  private func successor(_ standby: consuming Worker?, _ happened: AsyncStream<Int32>.Continuation) async throws -> Worker {
    if let standby { return standby }
    var attempt = 0
    while true {
      attempt += 1
      do { return try start(happened) } catch {
        if attempt == 60 || isToldToEnd.load(ordering: .relaxed) { throw error }
        Failure.say("no server can be started, it is tried again: \((error as? ContainerdError)?.message ?? "\(error)")")
        try await Task.sleep(for: .milliseconds(min(100 * attempt, 1000)))
      }
    }
  }

  /// Until a worker that was started waits for its turn: it has read its options by then, and is a program that can be run.
  private func ready(_ pid: pid_t, inPlaceOf old: pid_t) async throws {
    for _ in 0..<6000 {
      if Self.hasLostItsFirstThread(old) || isToldToEnd.load(ordering: .relaxed) {
        kill(pid, SIGKILL)
        throw ContainerdError(.canceled, "it has ended before the new one was ready")
      }
      if Self.hasLostItsFirstThread(pid) { throw ContainerdError.failedPrecondition("the program that is in its place now ends at once") }
      // What cannot be read is looked at again.
      if (try? Files.read("/proc/\(pid)/comm", limit: 64)) == Array("\(Self.standbyName)\n".utf8) { return }
      try await Task.sleep(for: .milliseconds(5))
    }
    kill(pid, SIGKILL)
    throw ContainerdError(.deadlineExceeded, "the program that is in its place now was not ready within 30 seconds")
  }

  /// How a worker ended; nil if it lives.
  ///
  /// One that was killed may not be able to die: a thread of it waits in the kernel for an answer that only its successor can give. Then its first thread is
  /// gone, and that is enough: nothing of it serves any more.
  /// - Parameter attempts: how often the rest of a process is waited for, a few milliseconds each.
  private func ended(_ pid: pid_t, _ attempts: Int = 3) async -> Int32? {
    for attempt in 0..<attempts {
      var status: Int32 = 0
      while true {
        let dead = waitpid(-1, &status, WNOHANG)
        if dead == pid { return status }
        if dead <= 0 { break }
        _ = self.dead.withLock { $0.insert(dead) }
      }
      if !Self.hasLostItsFirstThread(pid) { return nil }
      // Nobody cancels this task.
      if attempt < attempts - 1 { try? await Task.sleep(for: .milliseconds(5)) }
    }
    return SIGKILL
  }

  /// Waits for a worker's end. After this time, or when all shall end, it is killed.
  private func gone(_ pid: pid_t, within patience: Duration) async {
    let deadline = ContinuousClock.now + patience
    while await ended(pid) == nil {
      if ContinuousClock.now > deadline || isToldToEnd.load(ordering: .relaxed) { kill(pid, SIGKILL) }
      // Nor this one.
      try? await Task.sleep(for: .milliseconds(1))
    }
  }

  private static func hasLostItsFirstThread(_ pid: pid_t) -> Bool {
    // A process that is not there has none.
    guard let status = try? Files.read("/proc/\(pid)/stat") else { return true }
    // The state stands behind the name, which may hold anything, in parentheses.
    guard let end = status.lastIndex(of: UInt8(ascii: ")")), end + 2 < status.count else { return true }
    return status[end + 2] == UInt8(ascii: "Z")
  }

  private static func exit(_ status: Int32) -> any Error {
    clinux_wifexited(status) != 0
      ? ExitCode(clinux_wexitstatus(status)) : ContainerdError.internalError("the server was ended by signal \(clinux_wtermsig(status))")
  }

  /// What a worker is told.
  enum Turn: UInt8, Sendable {
    /// Another one still serves, and takes no more connections.
    case toGreet = 2
    case toBegin = 1
  }

  /// What a worker is called until it is told anything.
  private static let ownName = Mutex<[UInt8]>([])

  /// For a worker: waits until it may do something. Blocking.
  static func waitForTurn() -> Turn {
    // For people who look at processes, and for whoever wants the one that serves.
    let name = ((try? Files.read("/proc/self/comm")) ?? []).filter { $0 != UInt8(ascii: "\n") }
    ownName.withLock { $0 = name }
    rename(Array(standbyName.utf8))
    return listen()
  }

  /// For a worker that greets: waits until it may begin. Blocking.
  static func waitToBegin() { while listen() != .toBegin {} }

  /// For a worker: from here on it is the one that serves.
  static func beginsToServe() {
    close(inheritedGo)
    rename(ownName.withLock { $0 })
  }

  private static func listen() -> Turn {
    while true {
      var byte: UInt8 = 0
      var count = read(inheritedGo, &byte, 1)
      while count < 0, clinux_errno() == EINTR { count = read(inheritedGo, &byte, 1) }
      // The end of whoever would have said so.
      if count <= 0 { _exit(1) }
      // What a later supervisor says besides is for later workers.
      if let turn = Turn(rawValue: byte) { return turn }
    }
  }

  private static func rename(_ name: [UInt8]) {
    // It is of no importance but to the eye.
    guard let file = try? Files.open("/proc/self/comm", O_WRONLY) else { return }
    _ = write(file.raw, name, name.count)
  }

  /// For a worker: it does not outlive its supervisor, whose successor starts another. By a descriptor: the signal that prctl(2) offers comes when the
  /// supervisor's thread ends.
  static func endWithParent() throws {
    let parent = getppid()
    let descriptor = try check("pidfd_open", "process \(parent)") { clinux_pidfd_open(parent, 0) }
    let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: .global())
    source.setEventHandler {
      // It is gone, and so is whoever had an interest in our status.
      _exit(1)
    }
    source.resume()
    watch.withLock { $0 = source }
  }
  private static let watch = Mutex<(any DispatchSourceRead)?>(nil)

  private func start(_ happened: AsyncStream<Int32>.Continuation) throws -> Worker {
    // By its path, not by what we are made of: an upgrade has put another program there.
    let program = try Executable.path()
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var none = sigset_t()
    var all = sigset_t()
    sigemptyset(&none)
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var pid: pid_t = 0
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    var ends: [Int32] = [-1, -1]
    try check("pipe2", "a worker") { clinux_pipe(&ends) }
    let reading = OwnedFD(adopting: ends[0])
    let go = OwnedPipeEnd(ends[1])
    // Out of the way of the numbers that they get there.
    let high = try [listener.descriptor, reading.raw].map { raw in
      try check("dup", "descriptor \(raw)") { clinux_fcntl(raw, F_DUPFD_CLOEXEC, 10) }
    }
    defer { for descriptor in high { close(descriptor) } }
    posix_spawn_file_actions_adddup2(&actions, high[0], Self.inheritedSocket)
    posix_spawn_file_actions_adddup2(&actions, high[1], Self.inheritedGo)
    posix_spawn_file_actions_addclosefrom_np(&actions, Self.inheritedGo + 1)
    let status = posix_spawn(&pid, program, &actions, &attributes, &words, clinux_environ())
    if status != 0 { throw ContainerdError(.unknown, "\(SystemError(errno: status, operation: "posix_spawn", object: program))") }
    _ = dead.withLock { $0.remove(pid) }
    // PIDFD_THREAD (linux/pidfd.h, Linux 6.9): tells when its first thread ends. An older kernel tells when all of them have.
    var descriptor = clinux_pidfd_open(pid, 0o200)
    if descriptor < 0 { descriptor = try check("pidfd_open", "worker \(pid)") { clinux_pidfd_open(pid, 0) } }
    let watch = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: .global())
    watch.setEventHandler {
      happened.yield(SIGCHLD)
      // It stays readable.
      watch.cancel()
    }
    watch.setCancelHandler { close(descriptor) }
    watch.resume()
    return Worker(pid: pid, began: .now, go: go, watch: watch)
  }
}

/// The end of a pipe into which a worker's turns are written.
private final class OwnedPipeEnd: Sendable {
  private let descriptor: Mutex<Int32?>
  init(_ descriptor: Int32) { self.descriptor = Mutex(descriptor) }
  func greet() { descriptor.withLock { if let descriptor = $0 { Self.say(.toGreet, descriptor) } } }
  /// The last word.
  func begin() {
    guard let descriptor = descriptor.withLock({ $0.take() }) else { return }
    Self.say(.toBegin, descriptor)
    _ = CLinux.close(descriptor)
  }
  private static func say(_ turn: WorkerSupervisor.Turn, _ descriptor: Int32) {
    // Who is dead is not told.
    var byte = turn.rawValue
    _ = write(descriptor, &byte, 1)
  }
  deinit { if let descriptor = descriptor.withLock({ $0.take() }) { _ = CLinux.close(descriptor) } }
}
