import BlockingIO
import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import Glibc
import SystemKit

extension Target {
  /// `shim:PROGRAM`: a containerd shim of version 2, by its path, or by its name beside this program or in PATH.
  static func shim(_ address: String) throws -> Target? {
    guard let (program, _) = try programAddress(address, scheme: "shim:") else { return nil }
    var target = Target(address: address, capabilities: [.programs])
    target[ShimSubject.self] = { workspace in
      if geteuid() != 0 { throw CaseSkipped(.privilege, "shims make namespaces and mounts: root is needed") }
      if access(ShimScene.busybox, X_OK) != 0 { throw CaseSkipped(.tool, "\(ShimScene.busybox) is not installed: package busybox-static") }
      let scene = try await DedicatedThread.run {
        try ShimScene(binary: program, directory: workspace.directory, mark: workspace.mark) { workspace.record.add($0, command: $1) }
      }
      workspace.endings.add { try await scene.end() }
      return ShimSubject(scene: scene)
    }
    return target
  }
}
