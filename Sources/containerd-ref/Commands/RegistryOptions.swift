import ArgumentParser
import BlockingIO
import DaemonConfiguration
import Foundation
import Protocols
import RegistryFetcher
import Synchronization

/// How registries are reached: who we are to them, and which mirrors they have.
struct RegistryOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Directory with a config.json as \"docker login\" leaves it (default: $DOCKER_CONFIG, else ~/.docker). It is read when a registry asks who we are.",
      valueName: "directory"))
  var registryConfig: String?
  @Option(
    help: ArgumentHelp("Directory with a hosts.toml for each registry that has mirrors, like /etc/containerd/certs.d (default: none).", valueName: "directory"))
  var hostsDir: String?

  func validate() throws {
    for (option, path) in [("--registry-config", registryConfig), ("--hosts-dir", hostsDir)] {
      var isDirectory: ObjCBool = false
      guard let path else { continue }
      if !FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) || !isDirectory.boolValue {
        throw ValidationError("\(option) \"\(path)\" is no directory")
      }
    }
  }

  private static let pool = BlockingPool(label: "registry hosts", width: 2)

  /// - Parameter warn: is told what in a hosts.toml has no effect, once.
  func configuration(warn: @escaping @Sendable (String) -> Void = { Failure.say($0) }) -> RegistryResolver.Configuration {
    var configuration = RegistryResolver.Configuration()
    // A service may have no home.
    let file =
      registryConfig.map { "\($0)/config.json" } ?? DockerConfig.standardPath(ProcessInfo.processInfo.environment) ?? "/root/.docker/config.json"
    configuration.credentials = DockerConfig(path: file).source
    if let hostsDir {
      let directory = HostsDirectory(path: hostsDir)
      let told = Told()
      configuration.hosts = { registry in
        guard let file = try await Self.pool.run({ try directory.file(for: registry) }) else { return nil }
        for warning in file.warnings where told.isNew("\(registry) \(warning)") { warn("registry \(registry): \(warning)") }
        return file.hosts
      }
    }
    return configuration
  }

  private final class Told: Sendable {
    private let lines = Mutex<Set<String>>([])
    func isNew(_ line: String) -> Bool { lines.withLock { $0.insert(line).inserted } }
  }
}
