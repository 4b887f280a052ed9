/// A law of docs/architecture.md, as a question to the package's graph: what breaks it?
struct Law: Sendable, CustomStringConvertible {
  let description: String
  let violations: @Sendable (PackageGraph) -> [String]
  /// Makes a graph that keeps the law into one that breaks it: the proof that it can fail.
  let breaking: @Sendable (inout PackageGraph) -> Void
}

/// The layers: what belongs together, and apart from all else.
enum Layers {
  static let fetching: Set = ["RegistryFetcher", "ImagePull"]
  static let content: Set = ["LocalContentStore"]
  static let snapshots: Set = ["OverlaySnapshotter", "SnapshotIndex"]
  static let archives: Set = ["LayerArchive"]
  static let lazy: Set = ["LayerIndex", "LazyLayers", "FuseServer", "FuseKeeper", "FuseUnion", "CFuse", "CLibFuse", "CUnion", "CIdle"]
  /// A snapshotter whose layers are lazy: it stands on both.
  static let lazySnapshots: Set = ["FuseSnapshotter", "LazyImages"]
  static let unpacking: Set = ["ImageUnpack"]
  static let metadata: Set = ["Metadata"]
  static let specs: Set = ["ContainerSpec"]
  static let configuration: Set = ["DaemonConfiguration"]
  static let shimManagement: Set = ["ShimRuntime"]
  static let runtime: Set = ["LinuxRuntime", "CInit", "ShimServer", "ShimWire", "refrun", "containerd-shim-ref-v2"]
  static let services: Set = ["GRPCFrontend", "GRPCTransport"]
  static let client: Set = ["ContainerdClient"]
  static let registry: Set = ["EmbeddedRegistry"]
  static let metrics: Set = ["MetricsServer"]

  static let all: [Set<String>] = [
    fetching, content, snapshots, archives, lazy, lazySnapshots, unpacking, metadata, specs, configuration, shimManagement, runtime, services, client, registry,
    metrics,
  ]
  static let storage = content.union(snapshots).union(lazy).union(lazySnapshots).union(archives).union(unpacking).union(metadata)

  /// What every layer may stand on.
  static let base: Set = [
    "Protocols", "SystemKit", "CLinux", "BlockingIO", "Hashing", "OCI", "TarReading", "ContainerdAPI", "WireMapping", "FrameShield",
    "HTTPListening",
  ]
  static let systemLibraries: Set = ["CArchive", "CCrypto", "CISAL", "CSeccomp", "CZlib", "CZstd"]
  /// Sees everything: the composition root.
  static let root: Set = ["containerd-ref"]
  static let testing: Set = ["InMemoryFakes", "ConformanceSuites", "TestSupport"]
  /// The conformance program: judges everything, so it may see everything but the composition root.
  static let conformance: Set = [
    "ConformanceKit", "ConformanceModels", "ConformanceSystemSuites", "ConformanceWireSuites", "ConformanceBoundarySuites", "ConformanceTargets",
    "ConformanceMutants", "ConformanceReports", "containerd-conformance",
  ]
  /// Of these, what makes a target of a backend; all others judge what they cannot name.
  static let attaching: Set = ["ConformanceTargets", "containerd-conformance"]
}

extension Law {
  static let all: [Law] = [
    Law(description: "every target belongs to a layer, to the base, to the composition root or to the tests") { graph in
      let known = Layers.all.reduce(Layers.base) { $0.union($1) }.union(Layers.systemLibraries).union(Layers.root).union(Layers.testing)
        .union(Layers.conformance)
      return graph.targets.values.filter { !$0.isTest && !known.contains($0.name) }.map { "\($0.name) belongs nowhere: say where in Law.swift" }
    } breaking: {
      $0.targets["Novelty"] = PackageGraph.Target(name: "Novelty", path: "Sources/Novelty", targets: [])
    },
    Law(description: "every layer that the laws speak of exists") { graph in
      Layers.all.reduce(Layers.base) { $0.union($1) }.union(Layers.root).union(Layers.testing).union(Layers.conformance).filter { graph.targets[$0] == nil }.map
      { "no target \($0)" }
    } breaking: {
      $0.targets["ImagePull"] = nil
    },
    Law(description: "fetching cannot reach storage") {
      apart($0, Layers.fetching, Layers.storage)
    } breaking: {
      $0.targets["RegistryFetcher"]?.targets.insert("LocalContentStore")
    },
    Law(description: "storage cannot reach fetching") {
      apart($0, Layers.storage, Layers.fetching)
    } breaking: {
      // Through another target, as it would happen.
      $0.targets["Hashing"]?.targets.insert("RegistryFetcher")
    },
    Law(description: "no layer reaches another layer's implementation") { graph in
      Layers.all.flatMap { layer in
        var others = Layers.all.reduce(into: Set<String>()) { if $1 != layer { $0.formUnion($1) } }
        if layer == Layers.lazySnapshots { others.subtract(Layers.lazy.union(Layers.snapshots)) }
        return apart(graph, layer, others.union(Layers.root))
      }
    } breaking: {
      $0.targets["ImageUnpack"]?.targets.insert("LayerArchive")
    },
    Law(description: "the base stands on no layer") { graph in
      apart(graph, Layers.base.union(Layers.systemLibraries), Layers.all.reduce(Layers.root) { $0.union($1) })
    } breaking: {
      $0.targets["WireMapping"]?.targets.insert("GRPCFrontend")
    },
    Law(description: "a snapshotter knows no image, no archive and no digest") { graph in
      apart(graph, Layers.snapshots, ["OCI", "Hashing", "LayerArchive", "CArchive", "ContainerdAPI"])
    } breaking: {
      $0.targets["SnapshotIndex"]?.targets.insert("Hashing")
    },
    Law(description: "an applier knows no snapshotter and no content store, only their protocols") { graph in
      apart(graph, Layers.archives, Layers.content.union(Layers.snapshots).union(Layers.metadata))
    } breaking: {
      $0.targets["LayerArchive"]?.targets.insert("OverlaySnapshotter")
    },
    Law(description: "pulling and unpacking know protocols and documents, nothing else") { graph in
      ["ImagePull", "ImageUnpack"].flatMap { name in
        graph.reach(name).subtracting(["Protocols", "OCI"]).map { "\(name) reaches \($0)" } + graph.products(name).map { "\(name) reaches the product \($0)" }
      }
    } breaking: {
      $0.targets["ImagePull"]?.targets.insert("SystemKit")
    },
    Law(description: "the contracts depend on nothing") { graph in
      graph.reach("Protocols").map { "Protocols reaches \($0)" } + graph.products("Protocols").map { "Protocols reaches the product \($0)" }
    } breaking: {
      $0.targets["Protocols"]?.products.insert("SwiftProtobuf")
    },
    Law(description: "fakes and conformance cases reach no backend") { graph in
      apart(graph, ["InMemoryFakes", "ConformanceSuites"], Layers.all.reduce(Layers.root) { $0.union($1) })
        + graph.reach("ConformanceSuites").subtracting(["Protocols"]).map { "ConformanceSuites reaches \($0)" }
    } breaking: {
      $0.targets["InMemoryFakes"]?.targets.insert("OverlaySnapshotter")
    },
    Law(description: "cases and mutants judge through protocols and the wire: only what attaches a target knows a backend") { graph in
      let backends = Layers.fetching.union(Layers.storage).union(Layers.shimManagement).union(Layers.runtime).union(Layers.services).union(Layers.root)
      return apart(graph, Layers.conformance.subtracting(Layers.attaching), backends)
    } breaking: {
      $0.targets["ConformanceMutants"]?.targets.insert("OverlaySnapshotter")
    },
    Law(description: "only tests and the conformance program see fakes, conformance cases and test support") { graph in
      graph.targets.values.filter { !$0.isTest && !Layers.conformance.contains($0.name) }.flatMap { target in
        target.targets.intersection(Layers.testing).map { "\(target.name) depends on \($0)" }
      }
    } breaking: {
      $0.targets["containerd-ref"]?.targets.insert("InMemoryFakes")
    },
    Law(description: "services know protocols and the wire, no backend") { graph in
      apart(graph, Layers.services, Layers.fetching.union(Layers.storage).union(Layers.shimManagement).union(Layers.runtime))
    } breaking: {
      $0.targets["GRPCFrontend"]?.targets.insert("Metadata")
    },
    Law(description: "the transport knows neither services nor contracts") { graph in
      graph.reach("GRPCTransport").subtracting(["FrameShield"]).map { "GRPCTransport reaches \($0)" }
    } breaking: {
      $0.targets["GRPCTransport"]?.targets.insert("Protocols")
    },
    Law(description: "runtime and shim are made of this package and the C library alone, without Foundation and Dispatch") { graph in
      (Layers.runtime.union(["SystemKit"])).sorted().flatMap { name in
        let all = graph.reach(name).union([name])
        return graph.products(name).map { "\(name) reaches the product \($0)" }
          + all.sorted().flatMap { target in
            ["Foundation", "FoundationEssentials", "Dispatch"].flatMap { module in
              (graph.targets[target]?.imports[module] ?? []).map { "\(name) gets \(module) through \($0)" }
            }
          }
      }
    } breaking: {
      $0.targets["SystemKit"]?.imports["Foundation"] = ["Sources/SystemKit/Files.swift"]
    },
    Law(description: "contracts, cases and fakes need no Foundation") { graph in
      ["Protocols", "ConformanceSuites", "InMemoryFakes"].flatMap { name in
        (graph.targets[name]?.imports["Foundation"] ?? []).map { "\($0) imports Foundation" }
      }
    } breaking: {
      $0.targets["Protocols"]?.imports["Foundation"] = ["Sources/Protocols/Values/Timestamp.swift"]
    },
    Law(description: "every import of ours is declared: the compiler lets transitive ones pass") { graph in
      graph.targets.values.flatMap { target in
        target.imports.filter { graph.targets[$0.key] != nil && !target.targets.contains($0.key) && $0.key != target.name }
          .flatMap { module, files in files.map { "\($0) imports \(module), which \(target.name) does not declare" } }
      }
    } breaking: {
      $0.targets["ImagePull"]?.imports["Hashing"] = ["Sources/ImagePull/ImagePuller.swift"]
    },
  ]

  private static func apart(_ graph: PackageGraph, _ names: Set<String>, _ forbidden: Set<String>) -> [String] {
    names.sorted().flatMap { name in graph.reach(name).intersection(forbidden).sorted().map { "\(name) reaches \($0)" } }
  }
}
