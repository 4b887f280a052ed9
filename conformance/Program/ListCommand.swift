import ArgumentParser
import ConformanceKit
import ConformanceMutants
import ConformanceSuites
import ConformanceTargets

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "list", abstract: "The cases, the mutants, or the forms of addresses.")

  @OptionGroup var running: RunningOptions
  @Option(help: "Only cases that judge something of this target.")
  var target: String?
  @Flag(help: "The mutants instead.")
  var mutants = false
  @Flag(help: "The forms of addresses instead.")
  var targets = false
  @Flag(help: "As JSON.")
  var json = false

  func run() throws {
    if targets {
      if json {
        print(try asJSON(TargetScheme.all.map { ["form": $0.form, "summary": $0.summary] }), terminator: "")
        return
      }
      for scheme in TargetScheme.all { print("\(scheme.form)\n    \(scheme.summary)") }
      return
    }
    if mutants {
      if json {
        print(try asJSON(MutantCatalogue.all.map(ListedMutant.init)), terminator: "")
        return
      }
      for mutant in MutantCatalogue.all {
        print("\(mutant.id.padding(10))\(mutant.isControl ? "control" : mutant.group.rawValue)\n    \(mutant.sentence)")
        if !mutant.isControl { print("    killed by \(mutant.kills.joined(separator: ", ")) on \(mutant.base)") }
      }
      return
    }
    var chosen = try running.selection().choose(from: Catalogue.cases)
    if let target {
      let opened = try Target(named: target)
      chosen = chosen.filter { $0.concerns(opened) }
    }
    if json {
      print(try asJSON(chosen.map(\.info)), terminator: "")
      return
    }
    for group in CaseGroup.allCases {
      let cases = chosen.filter { $0.info.group == group }
      if cases.isEmpty { continue }
      print("\(group.title) (\(cases.count))")
      for contract in cases { print("  \(contract.info.level.rawValue.padding(7))\(contract.id)\n         \(contract.info.sentence)") }
    }
    print("\(chosen.count) cases")
  }
}

/// A mutant, for programs.
private struct ListedMutant: Encodable {
  let id, sentence, group, base, symptom: String
  let control: Bool
  let kills: [String]

  init(_ mutant: Mutant) {
    (id, sentence, group, base) = (mutant.id, mutant.sentence, mutant.group.rawValue, mutant.base)
    (symptom, control, kills) = (mutant.symptom, mutant.isControl, mutant.kills)
  }
}
