import BlockingIO
import MetricsServer
import Protocols
import Synchronization
import TestSupport
import Testing

@Suite struct MetricsServerTests {
  static func with(_ text: @escaping @Sendable () async -> String, _ body: @Sendable (MetricsServer) async throws -> Void) async throws {
    let server = try await MetricsServer(":0")
    let serving = Task { try await server.run(text) }
    do { try await body(server) } catch {
      serving.cancel()
      throw error
    }
    serving.cancel()
    _ = await serving.result
  }

  /// By curl: status, headers and body as they came.
  static func ask(_ server: MetricsServer, _ path: String, _ more: String...) async throws -> String {
    let address = server.address
    return try await DedicatedThread.run { try run(["/usr/bin/curl", "-s", "-i", "--max-time", "20"] + more + ["http://\(address)\(path)"]).output }
  }

  @Test func theTextIsMadeAnewForEach() async throws {
    let number = Mutex(0)
    let next: @Sendable () -> Int = {
      number.withLock { number in
        number += 1
        return number
      }
    }
    try await Self.with({ "a \(next())\n" }) { server throws in
      #expect(server.address.hasPrefix("127.0.0.1:"))
      for number in 1...3 {
        let answer = try await Self.ask(server, "/metrics?x=1")
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\r\n\r\na \(number)\n"), "\(answer)")
        #expect(answer.lowercased().contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "\(answer)")
      }
    }
  }

  @Test func nothingElseIsThere() async throws {
    try await Self.with({ "a 1\n" }) { server throws in
      #expect(try await Self.ask(server, "/").hasPrefix("HTTP/1.1 404 "))
      #expect(try await Self.ask(server, "/metrics", "-d", "x").hasPrefix("HTTP/1.1 405 "))
      let head = try await Self.ask(server, "/metrics", "-I")
      #expect(head.hasPrefix("HTTP/1.1 200 ") && head.lowercased().contains("content-length: 4\r\n") && head.hasSuffix("\r\n\r\n"), "\(head)")
    }
  }

  @Test func anAddressThatIsTakenIsNamed() async throws {
    let first = try await MetricsServer(":0")
    let address = first.address
    let serving = Task { try await first.run { "" } }
    let error = await #expect(throws: ContainerdError.self) { _ = try await MetricsServer(address) }
    #expect(error?.code == .unavailable && error?.message.contains(address) == true)
    serving.cancel()
    _ = await serving.result
  }

  @Test func addresses() throws {
    for (text, host, port) in [(":9090", "127.0.0.1", 9090), ("localhost:1", "127.0.0.1", 1), ("0.0.0.0:80", "0.0.0.0", 80), ("[::1]:8080", "::1", 8080)] {
      let parsed = try MetricsServer.parse(text)
      #expect(parsed.host == host && parsed.port == port)
    }
    for text in ["", "9090", "host:9", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000"] {
      let error = #expect(throws: ContainerdError.self) { _ = try MetricsServer.parse(text) }
      #expect(error?.code == .invalidArgument && error?.message.contains("\"\(text)\"") == true)
    }
  }
}
