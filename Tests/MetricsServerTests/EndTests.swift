import BlockingIO
import Glibc
import MetricsServer
import Synchronization
import Testing

/// Clients that connect while the server ends.
@Suite struct EndTests {
  @Test func whoComesAtTheEndIsHungUpOn() async throws {
    for _ in 0..<50 {
      let server = try await MetricsServer(":0")
      let port = try #require(UInt16(server.address.split(separator: ":").last ?? ""))
      let serving = Task { try await server.run { "a 1\n" } }
      let isOver = Mutex(false)
      let clients = Task {
        try await DedicatedThread.run {
          var open: [Int32] = []
          while !isOver.withLock({ $0 }), open.count < 200 {
            if let client = Self.connecting(to: port) { open.append(client) }
            usleep(50)
          }
          // Nobody is left with a connection that is neither answered nor ended.
          let left = open.count { client in
            // Of one that the kernel had no room to hand out, its client hears when it says something.
            var byte: UInt8 = 0x47
            send(client, &byte, 1, Int32(MSG_NOSIGNAL))
            var wait = pollfd(fd: client, events: Int16(POLLIN), revents: 0)
            return poll(&wait, 1, 5000) == 0
          }
          for client in open { close(client) }
          return left
        }
      }
      try await Task.sleep(for: .milliseconds(2))
      serving.cancel()
      _ = await serving.result
      isOver.withLock { $0 = true }
      #expect(try await clients.value == 0)
    }
  }

  /// Waits for nothing: where nobody accepts, a connection takes a second to fail.
  private static func connecting(to port: UInt16) -> Int32? {
    let client = socket(AF_INET, streamWithoutWaiting, 0)
    // A sockaddr_in: family, port, 127.0.0.1, zeros.
    let bytes: [UInt8] = [UInt8(AF_INET), 0, UInt8(port >> 8), UInt8(port & 0xff), 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    let status = bytes.withUnsafeBytes { connect(client, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count)) }
    if status == 0 || errno == EINPROGRESS { return client }
    close(client)
    return nil
  }
  /// SOCK_STREAM, SOCK_CLOEXEC and SOCK_NONBLOCK.
  private static let streamWithoutWaiting = Int32(1 | 0o2000000 | 0o4000)
}
