import CLinux
import SystemKit

/// Holds descriptors for a server that comes and goes. One thread, one server at a time: a new one takes the place of the one before.
///
/// It ends by itself when it has nothing and nobody is connected. With no server for as long as `patience` it lets go of everything: who waits for a mount
/// that nobody serves is told so (ENOTCONN), instead of waiting for ever.
public struct Keeper {
  private let root: String
  private let patience: Int32
  private var kept: [String: [Int32]] = [:]

  /// - Parameter patience: milliseconds.
  public init(root: String, patience: Int32) {
    self.root = root
    self.patience = patience
  }

  /// Serves until there is nothing to keep. `EBUSY` if there is a keeper already. Blocking: the process is for nothing else.
  public mutating func run() throws(SystemError) {
    let path = KeeperSocket.path(root)
    let lock = try Files.open("\(path).lock", O_RDWR | O_CREAT, mode: 0o600)
    let raw = lock.raw
    if clinux_flock(raw, LOCK_EX | LOCK_NB) != 0 { throw SystemError(errno: EBUSY, operation: "flock", object: "\(path).lock") }
    let listener = try KeeperSocket.make()
    let listening = listener.raw
    unlink(path)
    let directory = try Files.open(root, O_PATH | O_DIRECTORY)
    let address = KeeperSocket.short(path, in: directory)
    try check("bind", path) { clinux_bind_unix(listening, address) }
    _ = consume directory
    try check("chmod", path) { chmod(path, 0o600) }
    try check("listen", path) { listen(listening, 8) }
    try serve(listening)
    unlink(path)
    _ = consume listener
    _ = consume lock
  }

  private mutating func serve(_ listener: Int32) throws(SystemError) {
    var server: Int32 = -1
    // Nobody has connected yet: whoever started us is about to.
    var wait: Int32 = 10_000
    while true {
      var waiting = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0), pollfd(fd: server, events: Int16(POLLIN), revents: 0)]
      let ready = try check("poll", "the keeper's socket") { poll(&waiting, 2, server < 0 ? wait : -1) }
      if ready == 0 { return letGo() }
      if waiting[0].revents != 0 {
        let next = clinux_accept(listener)
        if next >= 0 {
          // The one before is dead, or told to go: it must not answer for what another serves now.
          if server >= 0 { close(server) }
          server = next
          continue
        }
      }
      if server >= 0, waiting[1].revents != 0, !answer(server) {
        close(server)
        server = -1
        if kept.isEmpty { return }
        wait = patience
      }
    }
  }

  private mutating func letGo() {
    for descriptors in kept.values { for descriptor in descriptors { close(descriptor) } }
    kept = [:]
  }

  /// - Returns: whether the server is still there.
  private mutating func answer(_ server: Int32) -> Bool {
    do throws(SystemError) {
      guard let packet = try KeeperPacket.receive(from: server) else { return false }
      switch packet.kind {
      case .put:
        if packet.descriptors.isEmpty {
          try KeeperPacket(kind: .refused, text: "no descriptor came with \(packet.text)").send(to: server)
          break
        }
        for old in kept.updateValue(packet.descriptors, forKey: packet.text) ?? [] { close(old) }
        try KeeperPacket(kind: .done).send(to: server)
      case .drop:
        for old in kept.removeValue(forKey: packet.text) ?? [] { close(old) }
        try KeeperPacket(kind: .done).send(to: server)
      case .list:
        for (name, descriptors) in kept { try KeeperPacket(kind: .entry, text: name, descriptors: descriptors).send(to: server) }
        try KeeperPacket(kind: .done).send(to: server)
      case .entry, .done, .refused: return false
      }
      return true
    } catch {
      // A packet came for which there were no descriptors left. It was one to be kept. Who cannot be told so is not there any more.
      if error.errno == EMFILE { return (try? KeeperPacket(kind: .refused, text: "the keeper has no descriptors left").send(to: server)) != nil }
      return false
    }
  }
}
