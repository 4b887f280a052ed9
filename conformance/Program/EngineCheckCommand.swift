import ArgumentParser
import ConformanceModels

/// The checks of the engine of random runs, without a test framework.
struct EngineCheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "engine-check", abstract: "Checks the engine of random runs itself.", shouldDisplay: false)

  func run() async throws {
    var failed = 0
    for check in EngineCheck.all {
      do {
        try await check.run()
        print("ok      \(check.name)")
      } catch {
        failed += 1
        print("failed  \(check.name): \(error)")
      }
    }
    print("\(EngineCheck.all.count - failed) of \(EngineCheck.all.count) hold")
    if failed > 0 { throw ExitCode(1) }
  }
}
