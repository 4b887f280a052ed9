import BlockingIO
import CLinux
import SystemKit
import TestSupport
import Testing

@testable import FuseKeeper

@Suite struct KeeperConnectionTests {
  private let scratch = ScratchDirectory("keeper")

  /// A socket that takes connections and answers none of them: what a keeper is that is just being killed.
  private func dying() throws -> OwnedFD {
    let socket = try KeeperSocket.make()
    let raw = socket.raw
    try check("bind", scratch.path) { clinux_bind_unix(raw, KeeperSocket.path(scratch.path)) }
    try check("listen", scratch.path) { listen(raw, 8) }
    return socket
  }

  /// Begins when it is asked for, and keeps until nobody is connected.
  private func keeper(after last: consuming OwnedFD) {
    let last = last.release()
    let failure = DedicatedThread.detach { [self] in
      var waiting = [pollfd(fd: last, events: Int16(POLLIN), revents: 0)]
      poll(&waiting, 1, 10_000)
      close(last)
      for _ in 0..<1000 where !Files.exists("\(scratch.path)/asked") { usleep(10_000) }
      var keeper = Keeper(root: scratch.path, patience: 100)
      do { try keeper.run() } catch { Issue.record("the keeper has ended: \(error)") }
    }
    #expect(failure == 0)
  }

  @Test func aKeeperThatIsJustEndingIsFollowedByOneThatAnswers() throws {
    keeper(after: try dying())
    let connection = try KeeperConnection(root: scratch.path, command: ["/bin/sh", "-c", "echo >\(scratch.path)/asked"])
    let null = try Files.open("/dev/null", O_RDONLY)
    try connection.put("one", [null.raw])
    let kept = try connection.entries()
    for entry in kept { for descriptor in entry.descriptors { close(descriptor) } }
    #expect(kept.map(\.name) == ["one"])
    try connection.drop("one")
    // No zombie stays: it would be in the way of who waits for any child.
    for _ in 0..<1000 where KeeperConnection.reap() > 0 { usleep(10_000) }
    #expect(KeeperConnection.reap() == 0)
  }

  @Test func whereNoKeeperCanBeStartedTheErrorNamesItsSocket() throws {
    let error = #expect(throws: SystemError.self) { _ = try KeeperConnection(root: scratch.path, command: ["/nowhere/keeper"]) }
    #expect(error?.description.contains("/nowhere/keeper") == true || error?.description.contains("keeper.sock") == true)
  }
}
