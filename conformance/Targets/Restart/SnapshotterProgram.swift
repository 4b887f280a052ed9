import BlockingIO
import CLinux
import ConformanceKit
import ConformanceSuites
import ContainerdClient
import Protocols
import SystemKit
import TestSupport

extension Target {
  /// `snapshotter-program:COMMAND[&stall=SECONDS][&failover=yes]`: a proxy-plugin snapshotter by the line of shell that starts it. Each case has one of its
  /// own, on an empty directory: `{root}` in the line is the directory, `{socket}` where it must listen. With `{containerd}`, the socket of a containerd that
  /// it may ask about images, its layers may be lazy.
  static func snapshotterProgram(_ address: String) throws -> Target? {
    let scheme = "snapshotter-program:"
    guard address.hasPrefix(scheme) else { return nil }
    var line = String(address.dropFirst(scheme.count))
    let failsOver = line.hasSuffix("&failover=yes")
    if failsOver { line.removeLast("&failover=yes".count) }
    var stall = 60.0
    if let range = line.ranges(of: "&stall=").last {
      guard let seconds = Double(line[range.upperBound...]), seconds > 0 else { throw SuiteError("\(address): &stall= must be a number of seconds") }
      stall = seconds
      line = String(line[..<range.lowerBound])
    }
    guard line.contains("{root}"), line.contains("{socket}") else {
      throw SuiteError(
        "\(address): give the line of shell that starts the snapshotter, with {root} and {socket} in it: \(scheme)./mine --root {root} --socket {socket}")
    }
    var target = Target(address: address, capabilities: geteuid() == 0 ? [.files] : [])
    let command: @Sendable (String, String, String) -> BackendChild.Command = { [line] root, socket, containerd in
      let filled = line.replacing("{root}", with: Shell.word(root)).replacing("{socket}", with: Shell.word(socket))
        .replacing("{containerd}", with: Shell.word(containerd))
      // The shell gives way to the program, so that it is the program that gets the signals.
      return .init(words: ["/bin/sh", "-c", "exec \(filled)"])
    }
    let isLazy = line.contains("{containerd}")
    if isLazy { target.offer(LazyProgram(command: command, stall: stall, failsOver: failsOver)) }
    let child: @Sendable (Workspace) async throws -> BackendChild = { workspace in
      let root = workspace.directory + "/root"
      let containerd = isLazy ? try await PlayedContainerd.empty(in: workspace) : ""
      return try BackendChild(root: root, in: workspace, hasFaultPlaces: false) { command(root, $0, containerd) }
    }
    let trees: @Sendable (Workspace) -> (any TreeAccess)? = { geteuid() == 0 ? MountingTrees(mountPoint: $0.directory + "/mnt") : nil }
    target[RestartSnapshotSubject.self] = { workspace in
      let child = try await child(workspace)
      return RestartSnapshotSubject(process: child, trees: trees(workspace), settling: workspace.patience) {
        try await child.client(namespace: "conformance").snapshotter("conformance")
      }
    }
    target[SnapshotSubject.self] = { workspace in
      let child = try await child(workspace)
      do { try await child.start() } catch let refused as StartRefused { throw SuiteError("\(Worker.backendIsGone)\(refused)") }
      return SnapshotSubject(snapshotter: try await child.client(namespace: "conformance").snapshotter("conformance"), trees: trees(workspace))
    }
    return target
  }
}
