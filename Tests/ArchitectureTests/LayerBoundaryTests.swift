import Foundation
import Testing

/// The laws of docs/architecture.md, checked on the package's own graph and on every import in the sources.
@Suite struct LayerBoundaryTests {
  struct Target {
    var name: String
    var path: String
    var dependencies: Set<String>
  }

  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  /// Targets of the manifest, with what they declare: targets and products.
  static let targets: [String: Target] = {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["swift", "package", "--package-path", root, "--scratch-path", NSTemporaryDirectory() + "/ref-graph-\(getpid())", "dump-package"]
    // The whole package, whatever part of it this run was told to build.
    process.environment = ProcessInfo.processInfo.environment.filter { $0.key != "REF_ONLY" && $0.key != "CORE_ONLY" }
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    do { try process.run() } catch { return [:] }
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard let package = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any], let list = package["targets"] as? [[String: Any]] else { return [:] }
    var targets: [String: Target] = [:]
    for entry in list {
      guard let name = entry["name"] as? String, let path = entry["path"] as? String else { continue }
      var names: Set<String> = []
      for dependency in entry["dependencies"] as? [[String: Any]] ?? [] {
        for value in dependency.values { if let list = value as? [Any], let name = list.first as? String { names.insert(name) } }
      }
      targets[name] = Target(name: name, path: path, dependencies: names)
    }
    return targets
  }()

  static func reach(_ name: String) -> Set<String> {
    var seen: Set<String> = []
    var pending = [name]
    while let next = pending.popLast() {
      for dependency in targets[next]?.dependencies ?? [] where targets[dependency] != nil && seen.insert(dependency).inserted { pending.append(dependency) }
    }
    return seen
  }

  static let fetching: Set<String> = ["RegistryFetcher", "ImagePull"]
  static let storage: Set<String> = ["LocalContentStore", "OverlaySnapshotter", "SnapshotIndex", "LayerArchive", "Metadata", "ImageUnpack"]
  static let running: Set<String> = ["ShimRuntime", "LinuxRuntime"]

  @Test func theManifestIsReadable() { #expect(Self.targets.count > 20, "swift package dump-package gave \(Self.targets.count) targets") }

  @Test(arguments: Self.fetching) func fetchingCannotReachStorageOrTheRuntime(_ name: String) {
    #expect(Self.targets[name] != nil)
    #expect(Self.reach(name).isDisjoint(with: Self.storage.union(Self.running)), "\(name) reaches \(Self.reach(name))")
  }

  @Test(arguments: Self.storage) func storageCannotReachFetchingOrTheRuntime(_ name: String) {
    #expect(Self.targets[name] != nil)
    #expect(Self.reach(name).isDisjoint(with: Self.fetching.union(Self.running)), "\(name) reaches \(Self.reach(name))")
  }

  @Test(arguments: Self.running) func theRuntimeCannotReachTheOtherLayers(_ name: String) {
    #expect(Self.targets[name] != nil)
    #expect(Self.reach(name).isDisjoint(with: Self.fetching.union(Self.storage)), "\(name) reaches \(Self.reach(name))")
  }

  @Test func servicesKnowProtocolsOnly() {
    #expect(Self.reach("GRPCFrontend").isDisjoint(with: Self.fetching.union(Self.storage).union(Self.running)))
  }

  /// The compiler lets transitive imports pass; this does not.
  @Test func everyImportOfOursIsDeclared() throws {
    for target in Self.targets.values {
      let directory = Self.root + "/" + target.path
      guard let files = FileManager.default.enumerator(atPath: directory) else { continue }
      for case let file as String in files where file.hasSuffix(".swift") {
        for line in try String(contentsOfFile: directory + "/" + file, encoding: .utf8).split(separator: "\n") {
          let words = line.split(separator: " ")
          guard let at = words.firstIndex(of: "import"), at + 1 < words.count, at <= 2, !line.hasPrefix("//") else { continue }
          let module = String(words[at + 1])
          if Self.targets[module] != nil {
            #expect(target.dependencies.contains(module), "\(target.path)/\(file) imports \(module), which \(target.name) does not declare")
          }
        }
      }
    }
  }
}
