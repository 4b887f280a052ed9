import BlockingIO
import CLinux
import ConformanceKit
import ConformanceSuites
import ContainerdClient
import Protocols
import SystemKit
import TestSupport

extension Target {
  /// `snapshotter-program:COMMAND`: a proxy-plugin snapshotter by the line of shell that starts it. Each case has one of its own, on an empty
  /// directory: `{root}` in the line is the directory, `{socket}` where it must listen.
  static func snapshotterProgram(_ address: String) throws -> Target? {
    let scheme = "snapshotter-program:"
    guard address.hasPrefix(scheme) else { return nil }
    let line = String(address.dropFirst(scheme.count))
    guard line.contains("{root}"), line.contains("{socket}") else {
      throw SuiteError(
        "\(address): give the line of shell that starts the snapshotter, with {root} and {socket} in it: \(scheme)./mine --root {root} --socket {socket}")
    }
    var target = Target(address: address, capabilities: geteuid() == 0 ? [.files] : [])
    let child: @Sendable (Workspace) throws -> BackendChild = { workspace in
      let root = workspace.directory + "/root"
      return try BackendChild(root: root, in: workspace, hasFaultPlaces: false) { socket in
        let filled = line.replacing("{root}", with: Shell.word(root)).replacing("{socket}", with: Shell.word(socket))
        // The shell gives way to the program, so that it is the program that gets the signals.
        return .init(words: ["/bin/sh", "-c", "exec \(filled)"])
      }
    }
    let trees: @Sendable (Workspace) -> (any TreeAccess)? = { geteuid() == 0 ? MountingTrees(mountPoint: $0.directory + "/mnt") : nil }
    target[RestartSnapshotSubject.self] = { workspace in
      let child = try child(workspace)
      return RestartSnapshotSubject(process: child, trees: trees(workspace), settling: workspace.patience) {
        try await child.client(namespace: "conformance").snapshotter("conformance")
      }
    }
    target[SnapshotSubject.self] = { workspace in
      let child = try child(workspace)
      do { try await child.start() } catch let refused as StartRefused { throw SuiteError("\(Worker.backendIsGone)\(refused)") }
      return SnapshotSubject(snapshotter: try await child.client(namespace: "conformance").snapshotter("conformance"), trees: trees(workspace))
    }
    return target
  }
}
