import ConformanceModels
import Testing

/// The engine of random runs: it finds what is to be found, in the simplest form, and nothing else.
@Suite struct ModelEngineTests {
  @Test(arguments: EngineCheck.all.map(\.name)) func holds(_ name: String) async throws {
    let check = try #require(EngineCheck.all.first { $0.name == name })
    try await check.run()
  }
}
