import ConformanceKit
import ConformanceReports
import ConformanceTargets

/// Makes a script of a case on a target: what stands before the steps, and where good answers come from.
struct ScriptWriter {
  /// Before the functions: where the target is.
  let settings: [String]
  /// The functions, and what makes the place ready.
  let parts: [String]
  /// Backends that are good, by what this program knows.
  let references: [Target]
  /// Whether the calls are those of the run itself, message by message, with the answers of a good run to the same methods.
  var onTheWire = false

  /// nil with a reason where the target is nothing that public tools can reach.
  static func make(_ target: String, subject: String, steps: [Record.Step]) throws -> Result<ScriptWriter, Reason> {
    if target.hasPrefix("inproc:") { return .failure(Reason("the backend lives inside of the suite's own process, where no tool reaches it")) }
    switch subject {
    case "Snapshot":
      guard let (socket, name) = Target.snapshotterAddress(target) else { break }
      let references = try ["inproc:overlay", "inproc:fake", "inproc:metadata"].map { try Target(at: $0).recorded(snapshotter: name ?? "conformance") }
      return .success(
        ScriptWriter(
          settings: snapshotter(socket, name),
          parts: [ScriptBasics.start, ScriptSockets.calls, ScriptSnapshots.calls, ScriptSnapshots.begin], references: references))
    case "Content":
      guard let socket = Target.socket(of: target) else { break }
      return .success(
        ScriptWriter(
          settings: ["SOCKET=\(shellQuoted(socket))", "NAMESPACE=repro-$$-$RANDOM"],
          parts: [ScriptBasics.start, ScriptSockets.calls, ScriptSockets.content],
          references: try ["inproc:overlay", "inproc:fake"].map { try Target(at: $0).recorded(snapshotter: "") }))
    case "OCIRuntime":
      guard let words = try Target.runtimeWords(target) else { break }
      return .success(
        ScriptWriter(
          settings: ["RUNTIME=(\(words.map(shellQuoted).joined(separator: " ")))"],
          parts: [ScriptRuntimes.parent, ScriptBasics.start, ScriptRuntimes.calls],
          references: ["refrun", "runc", "crun"].compactMap { try? Target(at: "oci-runtime:\($0)") }))  // what is not installed is no reference
    case "WireSnapshotter":
      guard let (socket, name) = Target.snapshotterAddress(target) else { break }
      return .success(
        ScriptWriter(
          settings: snapshotter(socket, name),
          parts: [ScriptBasics.start, ScriptSockets.calls, ScriptCalls.calls, ScriptSnapshots.calls, ScriptSnapshots.begin],
          references: [try Target(at: "inproc:grpc").recorded(snapshotter: "overlayfs")], onTheWire: true))
    case "WireContent":
      guard let socket = Target.socket(of: target) else { break }
      return .success(
        ScriptWriter(
          settings: ["SOCKET=\(shellQuoted(socket))", "NAMESPACE=repro-$$-$RANDOM"],
          parts: [ScriptBasics.start, ScriptSockets.calls, ScriptCalls.calls, ScriptSockets.content],
          references: [try Target(at: "inproc:grpc").recorded(snapshotter: "overlayfs")], onTheWire: true))
    case "Daemon", "Metadata", "Collection":
      guard let (socket, snapshotter) = Target.daemonAddress(target) else { break }
      guard let prefix = Self.prefix(of: steps) else { return .failure(Reason("it makes no call in a namespace of its own")) }
      return .success(
        ScriptWriter(
          settings: ["SOCKET=\(shellQuoted(socket))", "SNAPSHOTTER=\(shellQuoted(snapshotter))", "PREFIX=\(prefix)", "NAMESPACE=none", "LEASE="],
          parts: [ScriptBasics.start, ScriptCalls.calls, ScriptCalls.daemon], references: [try Target(at: "inproc:daemon")], onTheWire: true))
    case "Shim": return .failure(Reason("it speaks ttrpc with the shim and listens to its events, which no public tool does"))
    case "Layer", "Mount": return .failure(Reason("it hands archives and files from one part to the next, which no public tool does"))
    case "Pull", "RegistryClient", "Registry": return .failure(Reason("the registry that misbehaves is the suite's own, and ends with the case"))
    default: break
    }
    return .failure(Reason("no public tool speaks to what the chapter judges (\(subject))"))
  }

  private static func snapshotter(_ socket: String, _ name: String?) -> [String] {
    [
      "SOCKET=\(shellQuoted(socket))", "SNAPSHOTTER=\(shellQuoted(name ?? "conformance"))", "WHOLE=\(name == nil ? "" : "yes")",
      name == nil ? "NAMESPACE=conformance" : "NAMESPACE=repro-$$-$RANDOM", "LEASE=", "LIST=\(Target.listOfSnapshots(of: name ?? "conformance"))",
    ]
  }

  /// What the namespaces of the case begin with: the mark of who ran it.
  private static func prefix(of steps: [Record.Step]) -> String? {
    for step in steps {
      if let found = step.script?.firstMatch(of: /conformance(-[0-9a-z]+)+/) {
        return found.output.0.split(separator: "-").prefix(4).joined(separator: "-")
      }
    }
    return nil
  }

  struct Reason: Error {
    let text: String
    init(_ text: String) { self.text = text }
  }

  func script(of result: CaseResult, target: String, expecting: Expectation) -> String {
    var lines = ["#!/usr/bin/env bash"] + Reproduction.head(of: result, target: target)
    lines += [
      "#", "# Decides by itself: 0 if the promise is kept, 1 if it is broken, 2 if that could not be tried; the last line says so in words.",
      "# It works in a directory of its own, in a mount namespace of its own, and takes away what it made. The expected answers are those of good",
      "# backends to the same calls. The case itself, again:", "#   \(Reproduction.again(result, target))",
    ]
    if result.outcome != .pass { lines += ["#"] + Reproduction.found(in: result) }
    lines += ["set -eu", "", "PROMISE=\(shellQuoted("\(result.id), \(result.info.sentence)"))"] + settings + [""]
    lines += [
      "if [ \"${REPRO_INSIDE:-}\" != yes ]; then",
      "  [ -f \"$0\" ] && [ \"$(id -u)\" = 0 ] || { echo 'NOT TRIED: save this in a file and run that, as root'; exit 2; }",
      "  export REPRO_INSIDE=yes", "  exec unshare --mount --propagation slave -- bash \"$0\"", "fi", "",
    ]
    for part in parts { lines += [part, ""] }
    lines.append("# ---- The case.")
    for step in expecting.steps {
      if let call = step.call {
        lines.append("step \(shellQuoted(step.text)) \(shellQuoted(step.answer)) \(call)")
      } else {
        lines += Reproduction.comment(step.text)
      }
    }
    return (lines + ["kept"]).joined(separator: "\n") + "\n"
  }
}
