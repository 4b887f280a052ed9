import ArgumentParser
import ConformanceKit
import ConformanceMutants
import ConformanceTargets

/// The child that runs cases. Only the runner calls it.
struct WorkerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "worker", abstract: "Runs cases for a runner.", shouldDisplay: false)

  @Option var target: String
  @Option var directory: String
  @Option var seed: UInt64
  @Option var patience: Double = 1
  @Option var budget: Double = 1
  @Option var mutant: String?
  @Option var limit: Double = 120
  @Option var runner: Int32
  @Argument var cases: [String]

  func run() async throws {
    var target = try Target(named: target)
    if let mutant {
      guard let found = MutantCatalogue.all.first(where: { $0.id == mutant }) else { throw ValidationError("no mutant \(mutant)") }
      target = found.around(target)
    }
    let wanted = Set(cases)
    let chosen = (target.address == SelfTest.address ? SelfTest.cases : Catalogue.cases).filter { wanted.contains($0.id) }
    await Worker.run(chosen, on: target, directory: directory, seed: seed, patience: patience, budget: budget, limit: limit, runner: runner)
  }
}
