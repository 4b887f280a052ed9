import CLinux
import Synchronization
import SystemKit

/// A server's connection to the keeper of its directory. Calls follow one another; they block.
public final class KeeperConnection: Sendable {
  private let root: String
  private let command: [String]
  /// Taken for the length of a call.
  private let socket: Mutex<Int32>
  /// One every ten milliseconds.
  private static let attempts = 500
  /// Keepers that this process has started, and not yet seen the end of.
  private static let started = Mutex<[pid_t]>([])

  /// What was kept under a name. The descriptors are the caller's now: copies, the keeper has its own.
  public struct Entry: Sendable {
    public var name: String
    public var descriptors: [Int32]
  }

  /// Connects to the keeper of a directory, which is started if there is none.
  /// - Parameter command: starts one: a program and its arguments.
  public init(root: String, command: [String]) throws(SystemError) {
    self.root = root
    self.command = command
    socket = Mutex(try Self.connect(root, command))
  }

  deinit { socket.withLock { _ = close($0) } }

  /// Connects once more, to a keeper that has nothing as a rule: the one before has ended.
  public func reconnect() throws(SystemError) {
    let next = try Self.connect(root, command)
    socket.withLock { socket in
      close(socket)
      socket = next
    }
  }

  /// Until the keeper has ended, or has closed the connection. Blocking.
  public func waitForEnd() throws(SystemError) {
    // A number of its own: the connection's may be another's by the time.
    let result: Result<Int32, SystemError> = socket.withLock { socket in
      do throws(SystemError) { return .success(try socket.copied()) } catch { return .failure(error) }
    }
    let copy = OwnedFD(adopting: try result.get())
    // POLLRDHUP: and not for an answer, which somebody else waits for.
    var waiting = [pollfd(fd: copy.raw, events: 0x2000, revents: 0)]
    while waiting[0].revents == 0 { try check("poll", "the keeper's socket") { poll(&waiting, 1, -1) } }
  }

  /// Those that have ended, a keeper that gave way to another for one, are no zombies afterwards.
  /// - Returns: how many have not.
  @discardableResult static func reap() -> Int {
    started.withLock { started in
      started.removeAll(where: DetachedProcess.reap)
      return started.count
    }
  }

  /// To a keeper that has answered: one that is just ending still takes connections, and resets them.
  private static func connect(_ root: String, _ command: [String]) throws(SystemError) -> Int32 {
    let directory = try Files.open(root, O_PATH | O_DIRECTORY)
    let path = KeeperSocket.path(root)
    let address = KeeperSocket.short(path, in: directory)
    for attempt in 0..<attempts {
      reap()
      let socket = try KeeperSocket.make()
      let raw = socket.raw
      do throws(SystemError) {
        try check("connect", path) { clinux_connect_unix(raw, address) }
        // Nothing has this name: a question that every keeper answers in the same way.
        _ = try exchange(KeeperPacket(kind: .drop, text: ""), raw)
        return socket.release()
      } catch {
        guard [ENOENT, ECONNREFUSED, ECONNRESET, EPIPE].contains(error.errno), attempt < attempts - 1 else { throw error }
      }
      // Once more after a second: one that is started beside a keeper that has not quite ended gives way to it.
      if attempt % 100 == 0 {
        let nowhere = DetachedProcess.Stream.path("/dev/null", O_RDWR)
        let pid = try DetachedProcess.start(command, input: nowhere, output: nowhere, errors: nowhere)
        started.withLock { $0.append(pid) }
      }
      usleep(10_000)
    }
    throw SystemError(errno: ECONNREFUSED, operation: "connect", object: path)
  }

  /// Keeps copies of the descriptors; what had the name is let go of.
  public func put(_ name: String, _ descriptors: [Int32]) throws(SystemError) {
    _ = try call(KeeperPacket(kind: .put, text: name, descriptors: descriptors))
  }

  public func drop(_ name: String) throws(SystemError) { _ = try call(KeeperPacket(kind: .drop, text: name)) }

  public func entries() throws(SystemError) -> [Entry] { try call(KeeperPacket(kind: .list)) }

  private func call(_ packet: KeeperPacket) throws(SystemError) -> [Entry] {
    let result: Result<[Entry], SystemError> = socket.withLock { socket in
      do throws(SystemError) { return .success(try Self.exchange(packet, socket)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  private static func exchange(_ packet: KeeperPacket, _ socket: Int32) throws(SystemError) -> [Entry] {
    try packet.send(to: socket)
    var entries: [Entry] = []
    var failure: SystemError?
    while true {
      let answer: KeeperPacket?
      do { answer = try KeeperPacket.receive(from: socket) } catch {
        if error.errno != EMFILE { throw error }
        // Some of the answer is missing. The rest of it must not be taken for the next one.
        failure = error
        continue
      }
      guard let answer else { throw SystemError(errno: EPIPE, operation: "recvmsg", object: "the keeper's socket") }
      switch answer.kind {
      case .entry: entries.append(Entry(name: answer.text, descriptors: answer.descriptors))
      case .done:
        guard let failure else { return entries }
        for entry in entries { for descriptor in entry.descriptors { close(descriptor) } }
        throw failure
      default: throw SystemError(errno: EPROTO, operation: "keep", object: answer.text)
      }
    }
  }
}

extension Int32 {
  fileprivate func copied() throws(SystemError) -> Int32 { try check("dup", "the keeper's socket") { clinux_fcntl(self, F_DUPFD_CLOEXEC, 0) } }
}
