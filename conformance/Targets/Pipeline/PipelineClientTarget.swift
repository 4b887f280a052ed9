import CLinux
import ConformanceBoundarySuites
import ConformanceKit
import ConformanceSuites
import Foundation
import Protocols
import SystemKit

extension Target {
  /// `pipeline-client:COMMAND`: any program that pulls and unpacks through a containerd's socket. The suite plays the containerd: behind the socket are its
  /// parts, so that it sees what the program says to each, and lets any of its calls fail.
  ///
  /// In the command `{socket}` is the socket, `{namespace}` the namespace, `{snapshotter}` the snapshotter's name, `{ref}` the image on a plain HTTP registry; behind
  /// `&fetch=` a command that downloads the image and unpacks nothing.
  static func pipelineClient(_ address: String) throws -> Target? {
    let scheme = "pipeline-client:"
    guard address.hasPrefix(scheme) else { return nil }
    let parts = address.dropFirst(scheme.count).split(separator: "&fetch=", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= 2, parts.allSatisfy({ $0.contains("{ref}") && $0.contains("{socket}") }) else {
      throw SuiteError(
        "\(address): give a line of shell with {socket} and {ref} in it, such as pipeline-client:ctr -a {socket} -n {namespace} images pull --plain-http {ref}")
    }
    let (pull, fetch) = (parts[0], parts.count > 1 ? parts[1] : nil)
    var target = Target(address: address, capabilities: geteuid() == 0 ? [.files] : [])
    target[PipelineSubject.self] = { workspace in
      let maker = PipelinePartsMaker(workspace: workspace)
      @Sendable func act(_ command: String, _ reference: String, _ parts: PipelineParts) async throws {
        try await PartsDaemon.with(parts) { socket in
          let line = command.replacing("{socket}", with: socket).replacing("{namespace}", with: "case")
            .replacing("{snapshotter}", with: PartsDaemon.snapshotter).replacing("{ref}", with: Shell.word(reference))
          let (status, output) = try await ShellCommand.run(line)
          workspace.record.add("pull \(reference)", command: line, outcome: status == 0 ? "done" : "ended with \(status): \(output.suffix(400))")
          // The shell did not find the program: not the client's failure.
          if status == 127 { throw CaseSkipped(.tool, output) }
          if status != 0 { throw SaidError.error(in: output) }
        }
      }
      return PipelineSubject(
        directory: workspace.directory, patience: workspace.patience, isHere: false, trees: maker.trees,
        fetch: { reference, parts in
          guard let fetch else { throw CaseSkipped(.capability, "the address names no command that only fetches: &fetch=COMMAND") }
          try await act(fetch, reference, parts)
        },
        unpack: { try await act(pull, $0, $1) }, note: { workspace.record.add($0) }
      ) { try maker.make($0) }
    }
    return target
  }
}

/// The class of an error, as a program that failed has said it.
enum SaidError {
  static func error(in output: String) -> ContainerdError {
    let lines = output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    // The last line that names a class: what comes before are warnings and progress.
    for line in lines.reversed() {
      let plain = line.lowercased().replacing("\"", with: "")
      for code in ContainerdError.Code.allCases where code != .unknown {
        let status = "code = \(wireName(code))".lowercased()
        if plain.hasSuffix(": " + code.rawValue) || plain.hasSuffix(code.rawValue) || plain.contains(status) { return ContainerdError(code, String(line)) }
      }
    }
    return ContainerdError(.unknown, String((lines.last ?? "it said nothing").suffix(500)))
  }

  private static func wireName(_ code: ContainerdError.Code) -> String {
    switch code {
    case .notImplemented: "Unimplemented"
    case .canceled: "Canceled"
    case .deadlineExceeded: "DeadlineExceeded"
    default: code.rawValue.split(separator: " ").map(\.capitalized).joined()
    }
  }
}
