import ArgumentParser
import ConformanceKit
import ConformanceMutants
import ConformanceTargets
import Foundation
import SystemKit

/// One attempt of a random case again.
struct ReplayCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay", abstract: "Does one attempt of a random case again, from the choices that its failure printed.")

  @Argument(help: "The address of the backend.") var target: String
  @Argument(help: "The case: snapshots.model.random, …") var id: String
  @Option(help: "The choices, separated by commas, as the failure printed them.") var choices: String
  @Option(help: "Around the backend, a mutant.") var mutant: String?
  @Option(help: "Where the backend works.") var scratch: String?

  func run() async throws {
    let numbers = choices.split(separator: ",").compactMap { UInt64($0) }
    if numbers.isEmpty || numbers.count != choices.split(separator: ",").count { throw ValidationError("--choices: numbers separated by commas") }
    var target = try Target(at: target)
    if let mutant {
      guard let found = MutantCatalogue.all.first(where: { $0.id == mutant }) else { throw ValidationError("no mutant \(mutant)") }
      target = found.around(target)
    }
    guard let contract = Catalogue.cases.first(where: { $0.id == id }) else { throw ValidationError("no case \(id)") }
    guard contract.info.tags.contains("model") else {
      throw ValidationError("\(id) draws nothing at random: there are no choices to do again; `run \(self.target) --select \(id)` runs it")
    }
    let root = "\(scratch ?? ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp")/replay-\(getpid())"
    try Files.makeDirectories(root)
    var workspace = Workspace(directory: root, seed: 1)
    workspace.choices = numbers
    let outcome: Result<Void, any Error>
    do { outcome = .success(try await contract.run(on: target, in: workspace)) } catch { outcome = .failure(error) }
    try Files.removeTree(root)
    switch outcome {
    case .success: print("the attempt found nothing")
    case .failure(let error):
      print(error)
      throw ExitCode(1)
    }
  }
}
