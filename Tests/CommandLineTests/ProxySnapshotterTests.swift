import Protocols
import Testing

@testable import containerd_ref

@Suite struct ProxySnapshotterTests {
  @Test func whileNobodyListensTheAnswerNamesThePluginAndComesAtOnce() async throws {
    let path = "/nonexistent/\(UInt64.random(in: 0...UInt64.max)).sock"
    let snapshotter = ProxySnapshotter(name: "fuse", address: path)
    let began = ContinuousClock.now
    let error = try await #require(throws: ContainerdError.self) { _ = try await snapshotter.stat("key") }
    #expect(error == .unavailable("snapshotter fuse at \(path): there is no such socket"))
    await #expect(throws: ContainerdError.self) { try await snapshotter.walk(.all) { _ in } }
    #expect(began.duration(to: .now) < .seconds(15))
    try await snapshotter.close()
  }
}
