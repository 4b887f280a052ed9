import ConformanceKit
import ConformanceWireSuites
import ContainerdAPI
import Protocols
import SwiftProtobuf
import SystemKit

extension ShimMutants {
  static let sharing: [Mutant] = [
    FaultyShim.program("shim-group-apart", "groups are not heeded", kills: ["shim.group.shared"], symptom: "second container of a group", action: "start") {
      command, run in
      let path = command.directory + "/config.json"
      let text = String(decoding: try Files.read(path), as: UTF8.self)
      let without = text.replacing("io.containerd.runc.v2.group", with: "a").replacing("io.kubernetes.cri.sandbox-id", with: "b")
      try Files.writeAtomically(Array(without.utf8), to: path, mode: 0o644)
      return try await run(command)
    },
    FaultyShim.program("shim-group-all", "all containers are of one group", kills: ["shim.group.alone"], symptom: "without a group", action: "start") {
      command, run in
      let path = command.directory + "/config.json"
      let text = String(decoding: try Files.read(path), as: UTF8.self)
      let group = #""annotations":{"io.containerd.runc.v2.group":"all"},"hostname""#
      try Files.writeAtomically(Array(text.replacing(#""hostname""#, with: group).utf8), to: path, mode: 0o644)
      return try await run(command)
    },
    FaultyShim.events("shim-oom-untold", "nobody is told of memory that ran out", kills: ["shim.events.oom"], symptom: "/tasks/oom did not come") {
      $0.filter { $0.topic != "/tasks/oom" }
    },
    FaultyShim.events("shim-end-untold", "the ends that come first are the only ones told", kills: ["shim.events.daemon-away"], symptom: "after its return") {
      let first = $0.first { $0.topic == "/tasks/exit" }
      return $0.filter { $0.topic != "/tasks/exit" || $0 == first }
    },
    output("shim-log-file-dropped", "output for a file is dropped", "file://", kills: ["shim.logging.file"], symptom: "it holds"),
    output(
      "shim-log-binary-dropped", "output for a program is dropped, and the program not run", "binary://",
      kills: ["shim.logging.binary", "shim.logging.binary-fails"],
      symptom: ""),
  ]

  private static func output(_ id: String, _ sentence: String, _ scheme: String, kills: [String], symptom: String) -> Mutant {
    FaultyShim.calls(id, sentence, kills: kills, symptom: symptom) { base, service, method, payload in
      guard method == "Create" else { return try await base.call(service, method, payload) }
      var request = try Containerd_Task_V2_CreateTaskRequest(serializedBytes: payload)
      if request.stdout.hasPrefix(scheme) { (request.stdout, request.stderr) = ("", "") }
      return try await base.call(service, method, try request.serializedBytes())
    }
  }
}
