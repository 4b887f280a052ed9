import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceSystemSuites
import Foundation
import SystemKit

/// Faults of OCI runtimes: a wrapper around a good command line that changes a call, its configuration, or its answer.
enum RuntimeMutants {
  static let all: [Mutant] = verbs + answers + configurations + runtimeControls

  static func around(
    _ id: String, _ sentence: String, in group: CaseGroup = .lifecycle, kills: [String], symptom: String = "", scope: [String]? = nil, threads: [String] = [],
    _ change: @escaping @Sendable (OCICall, OCIHandler) throws -> OCIResult
  ) -> Mutant {
    Mutant(id, sentence, in: group, on: "oci-runtime:refrun", kills: kills, symptom: symptom, scope: scope ?? kills, threads: threads) {
      $0.wrap(OCIRuntimeSubject.self) { $0.around(change) }
    }
  }

  /// The runtime is given another config.json than the one in the bundle.
  static func configured(
    _ id: String, _ sentence: String, in group: CaseGroup = .runtimeConfiguration, kills: [String], symptom: String = "", scope: [String]? = nil,
    _ change: @escaping @Sendable (inout JSON) -> Void
  ) -> Mutant {
    around(id, sentence, in: group, kills: kills, symptom: symptom, scope: scope) { call, next in
      if call.verb == "create" { try rewrite(call.bundle, change) }
      return try next(call)
    }
  }

  static func rewrite(_ bundle: String, _ change: (inout JSON) -> Void) throws {
    let path = bundle + "/config.json"
    // What is missing or no JSON is for the runtime to refuse.
    guard let bytes = try? Files.read(path), var config = try? JSON(parsing: String(decoding: bytes, as: UTF8.self)) else { return }
    change(&config)
    try Files.writeAtomically(Array(config.serialized().utf8), to: path, mode: 0o644)
  }

  static func config(_ bundle: String) throws -> JSON { try JSON(parsing: String(decoding: Files.read(bundle + "/config.json"), as: UTF8.self)) }

  /// The program is started by a shell script of the mutant's; `"$@"` in it is the program.
  static func throughShell(_ config: inout JSON, _ script: String) {
    config["process"]["args"] = .array(["/bin/sh", "-c", .string(script), "sh"] + config["process"]["args"].items)
  }

  static let runtimeControls: [Mutant] = [
    around("control-runtime-identity", "every call is handed on unchanged", kills: [], scope: ["oci.*", "hooks.order.*"]) { try $1($0) },
    around("control-runtime-slow", "every call takes 50 ms longer", kills: [], scope: ["oci.create.*", "oci.start.*", "hooks.failure.*"]) {
      usleep(50_000)
      return try $1($0)
    },
    around("control-runtime-noise", "the runtime says more than it has to on standard error", kills: [], scope: ["oci.*", "hooks.order.*"]) {
      var result = try $1($0)
      result.errors += "level=warning msg=\"something to know\"\n"
      return result
    },
    around("control-runtime-state", "the state has further fields", kills: [], scope: ["oci.state.*", "oci.delete.*"]) {
      var result = try $1($0)
      if $0.verb == "state", !result.failed {
        var state = try JSON(parsing: result.output)
        state["further"] = ["field": 1]
        result.output = try state.serialized()
      }
      return result
    },
  ]
}
