// swift-tools-version: 6.2
import Foundation
import PackageDescription

// One target per layer. Each target names exactly what it may import; the build runs with
// `--explicit-target-dependency-import-check error`, and Tests/ArchitectureTests checks the graph.
//
// CORE_ONLY=1 drops every target that needs the network packages (gRPC, AsyncHTTPClient): the fast loop.
// REF_ONLY=A,B keeps just the named targets and what they need.

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]
/// Generated code is not ours to keep free of warnings.
let generated: [SwiftSetting] = [.swiftLanguageMode(.v6)]

/// The shim and the runtime command line start for every container: no dynamic loader, no Foundation.
let staticExecutable: [LinkerSetting] = [.unsafeFlags(["-static-executable"])]

func product(_ name: String, _ package: String) -> Target.Dependency {
  .product(name: name, package: package)
}
let grpcCore = product("GRPCCore", "grpc-swift-2")
let grpcProtobuf = product("GRPCProtobuf", "grpc-swift-protobuf")
let grpcPosix = product("GRPCNIOTransportHTTP2Posix", "grpc-swift-nio-transport")
let swiftProtobuf = product("SwiftProtobuf", "swift-protobuf")
let nioCore = product("NIOCore", "swift-nio")
let nioPosix = product("NIOPosix", "swift-nio")
let nioHTTP1 = product("NIOHTTP1", "swift-nio")
let nioHTTP2 = product("NIOHTTP2", "swift-nio-http2")
let nioSSL = product("NIOSSL", "swift-nio-ssl")
let nioEmbedded = product("NIOEmbedded", "swift-nio")
let grdb = product("GRDB", "GRDB.swift")
let logging = product("Logging", "swift-log")
let tomlKit = product("TOMLKit", "TOMLKit")
let argumentParser = product("ArgumentParser", "swift-argument-parser")

func module(_ name: String, _ dependencies: [Target.Dependency], path: String? = nil, settings: [SwiftSetting] = strict) -> Target {
  .target(name: name, dependencies: dependencies, path: path ?? "Sources/\(name)", exclude: readme(in: path ?? "Sources/\(name)"), swiftSettings: settings)
}
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, path: "Tests/\(name)", swiftSettings: strict)
}
func library(_ name: String, pkgConfig: String, apt: String) -> Target {
  .systemLibrary(name: name, path: "Sources/SystemLibraries/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}
func exists(_ path: String) -> Bool {
  FileManager.default.fileExists(atPath: Context.packageDirectory + "/" + path)
}
func readme(in path: String) -> [String] { exists(path + "/README.md") ? ["README.md"] : [] }

// MARK: core: no network packages

let core: [Target] = [
  library("CArchive", pkgConfig: "libarchive", apt: "libarchive-dev"),
  library("CCrypto", pkgConfig: "libcrypto", apt: "libssl-dev"),
  library("CISAL", pkgConfig: "libisal", apt: "libisal-dev"),
  library("CSeccomp", pkgConfig: "libseccomp", apt: "libseccomp-dev"),
  library("CZlib", pkgConfig: "zlib", apt: "zlib1g-dev"),
  library("CZstd", pkgConfig: "libzstd", apt: "libzstd-dev"),
  .target(name: "CLinux", path: "Sources/CLinux", exclude: readme(in: "Sources/CLinux")),
  .target(name: "CInit", path: "Sources/CInit", exclude: readme(in: "Sources/CInit"), cSettings: [.unsafeFlags(["-fstack-protector-strong"])]),

  module("Protocols", []),
  module("SystemKit", ["CLinux"]),
  module("BlockingIO", []),
  module("Hashing", ["Protocols", "CCrypto"]),
  module("OCI", ["Protocols"]),
  module("ContainerSpec", ["Protocols", "OCI"]),
  module("InMemoryFakes", ["Protocols", "Hashing"]),
  module("LocalContentStore", ["Protocols", "SystemKit", "CLinux", "BlockingIO", "Hashing"]),
  module("TarReading", ["Protocols", "SystemKit", "CLinux", "CArchive"]),
  module("LayerArchive", ["TarReading", "Protocols", "SystemKit", "CLinux", "BlockingIO", "Hashing", "CArchive", "CISAL", "CZlib", "CZstd"]),
  module("LayerIndex", ["TarReading", "Protocols", "SystemKit", "CLinux", "Hashing", "CArchive", "CZlib", "CZstd"]),
  .target(name: "CIdle", path: "Sources/CIdle", exclude: readme(in: "Sources/CIdle")),
  .target(name: "CFuse", dependencies: ["CIdle"], path: "Sources/CFuse", exclude: readme(in: "Sources/CFuse")),
  .target(
    name: "CLibFuse", dependencies: ["CFuse", "CUnion", "CIdle"], path: "Sources/CLibFuse", exclude: readme(in: "Sources/CLibFuse"),
    linkerSettings: [.linkedLibrary("fuse3")]),
  .target(name: "CUnion", dependencies: ["CIdle"], path: "Sources/CUnion", exclude: readme(in: "Sources/CUnion")),
  module("FuseUnion", ["CUnion", "CLibFuse", "Protocols", "SystemKit", "CLinux", "BlockingIO"]),
  module("FuseKeeper", ["SystemKit", "CLinux"]),
  module("LazyLayers", ["LayerIndex", "Protocols", "SystemKit", "CLinux", "BlockingIO", "Hashing"]),
  module("FuseServer", ["LazyLayers", "LayerIndex", "CFuse", "CLibFuse", "Protocols", "SystemKit", "CLinux", "BlockingIO"]),
  module("SnapshotIndex", ["Protocols", "SystemKit", grdb]),
  module("OverlaySnapshotter", ["Protocols", "SystemKit", "CLinux", "BlockingIO", "SnapshotIndex"]),
  module(
    "FuseSnapshotter",
    [
      "OverlaySnapshotter", "SnapshotIndex", "FuseServer", "FuseKeeper", "FuseUnion", "LazyLayers", "LayerIndex", "Protocols", "Hashing", "SystemKit",
      "CLinux", "BlockingIO",
    ]),
  module("LazyImages", ["FuseSnapshotter", "LazyLayers", "LayerIndex", "Protocols", "OCI", "Hashing", "SystemKit", "CLinux", "BlockingIO"]),
  module("Metadata", ["Protocols", "SystemKit", "BlockingIO", grdb]),
  module("ImagePull", ["Protocols", "OCI"]),
  module("ImageUnpack", ["Protocols", "OCI"]),
  module("LinuxRuntime", ["SystemKit", "CLinux", "CInit", "CSeccomp"]),
  module("ShimWire", []),
  module("ShimServer", ["LinuxRuntime", "ShimWire", "SystemKit", "CLinux"]),
  .executableTarget(
    name: "refrun", dependencies: ["LinuxRuntime", "SystemKit"], path: "Sources/refrun", exclude: readme(in: "Sources/refrun"), swiftSettings: strict,
    linkerSettings: staticExecutable),
  .executableTarget(
    name: "containerd-shim-ref-v2", dependencies: ["ShimServer"], path: "Sources/containerd-shim-ref-v2", exclude: readme(in: "Sources/containerd-shim-ref-v2"),
    swiftSettings: strict,
    linkerSettings: staticExecutable),

  module("ConformanceSuites", ["Protocols"], path: "conformance/Suites"),
  module(
    "ConformanceModels",
    ["ConformanceSuites", "ConformanceSystemSuites", "InMemoryFakes", "Protocols", "Hashing", "SystemKit", "CLinux", "BlockingIO"],
    path: "conformance/Models"),
  module("ConformanceSystemSuites", ["ConformanceSuites", "Protocols", "SystemKit", "CLinux", "BlockingIO"], path: "conformance/System"),
  module("ConformanceKit", ["ConformanceSuites", "Protocols", "SystemKit", "CLinux", "BlockingIO"], path: "conformance/Kit"),
  module("ConformanceReports", ["ConformanceKit", "ConformanceSuites", "Protocols", "Hashing"], path: "conformance/Reports"),
  module("TestSupport", ["ConformanceSuites", "Protocols", "SystemKit", "CLinux", "BlockingIO"], path: "Tests/TestSupport"),

  tests("ArchitectureTests", []),
  tests("ProtocolsTests", ["Protocols", "Hashing", "OCI"]),
  tests("SystemKitTests", ["SystemKit", "CLinux", "BlockingIO", "TestSupport"]),
  tests("InMemoryFakesTests", ["InMemoryFakes", "Protocols", "Hashing", "ConformanceSuites", "TestSupport"]),
  tests("LocalContentStoreTests", ["LocalContentStore", "Protocols", "Hashing", "SystemKit", "CLinux", "ConformanceSuites", "TestSupport"]),
  tests(
    "LayerArchiveTests",
    [
      "LayerArchive", "LocalContentStore", "OverlaySnapshotter", "InMemoryFakes", "Protocols", "Hashing", "SystemKit", "CLinux", "ConformanceSuites",
      "TestSupport",
    ]),
  tests("LayerIndexTests", ["LayerIndex", "TarReading", "Protocols", "Hashing", "SystemKit", "CLinux", "TestSupport"]),
  tests("FuseKeeperTests", ["FuseKeeper", "BlockingIO", "SystemKit", "CLinux", "TestSupport"]),
  tests("FuseServerTests", ["FuseServer", "LazyLayers", "CFuse", "LayerIndex", "Protocols", "Hashing", "SystemKit", "CLinux", "BlockingIO", "TestSupport"]),
  tests(
    "FuseSnapshotterTests",
    ["FuseSnapshotter", "LazyLayers", "LayerIndex", "Protocols", "SystemKit", "CLinux", "BlockingIO", "TestSupport"]),
  tests(
    "LazyStatusTests",
    [
      "FuseSnapshotter", "OverlaySnapshotter", "SnapshotIndex", "FuseServer", "LazyLayers", "LayerIndex", "Protocols", "Hashing", "SystemKit", "CLinux",
      "BlockingIO", "TestSupport",
    ]),
  tests("OverlaySnapshotterTests", ["OverlaySnapshotter", "SnapshotIndex", "Protocols", "SystemKit", "CLinux", "ConformanceSuites", "TestSupport"]),
  tests("MetadataTests", ["Metadata", "InMemoryFakes", "Hashing", "Protocols", "ConformanceSuites", "TestSupport", grdb]),
  tests("ImageTests", ["ImagePull", "ImageUnpack", "OCI", "InMemoryFakes", "Protocols", "Hashing", "TestSupport"]),
  tests("ContainerSpecTests", ["ContainerSpec", "OCI", "Protocols"]),
  tests("LinuxRuntimeTests", ["LinuxRuntime", "SystemKit", "CLinux", "CInit", "TestSupport"]),
  tests("ShimTests", ["ShimServer", "ShimWire", "LinuxRuntime", "SystemKit", "CLinux", "TestSupport"]),
]

// MARK: network: registry client, gRPC, the daemon

let network: [Target] = [
  module(
    "RegistryFetcher",
    [
      "Protocols", "OCI", "Hashing", "BlockingIO", "SystemKit", "CLinux", product("AsyncHTTPClient", "async-http-client"), nioCore, nioHTTP1, nioPosix, nioSSL,
    ]),
  module("HTTPListening", [nioCore, nioHTTP1, nioPosix]),
  module("EmbeddedRegistry", ["HTTPListening", "Hashing", "Protocols", "OCI", "BlockingIO", "SystemKit", "CLinux", nioCore, nioHTTP1]),
  module("MetricsServer", ["HTTPListening", "Protocols", nioCore, nioHTTP1]),
  module("DaemonConfiguration", ["Protocols", tomlKit]),
  module("ContainerdAPI", [grpcCore, grpcProtobuf, swiftProtobuf], settings: generated),
  module("FrameShield", [nioCore]),
  module("GRPCTransport", ["FrameShield", grpcCore, grpcPosix, nioCore, nioHTTP2, nioPosix]),
  module("WireMapping", ["ContainerdAPI", "Protocols", grpcCore, swiftProtobuf]),
  module("ContainerdClient", ["ContainerdAPI", "WireMapping", "FrameShield", "Protocols", grpcCore, grpcPosix, swiftProtobuf, nioCore]),
  module("GRPCFrontend", ["ContainerdAPI", "WireMapping", "Protocols", grpcCore, swiftProtobuf, logging]),
  module("ShimRuntime", ["Protocols", "SystemKit", "CLinux", "BlockingIO", "ContainerdAPI", swiftProtobuf, nioCore, nioPosix, logging]),
  .executableTarget(
    name: "containerd-ref",
    dependencies: [
      "Protocols", "OCI", "ContainerSpec", "SystemKit", "CLinux", "BlockingIO", "Hashing", "LocalContentStore", "LayerArchive", "LayerIndex", "LazyLayers",
      "FuseServer", "FuseKeeper", "FuseUnion", "CIdle",
      "FuseSnapshotter", "LazyImages", "MetricsServer", "Metadata",
      "OverlaySnapshotter", "ImagePull", "ImageUnpack", "RegistryFetcher", "EmbeddedRegistry", "ContainerdAPI", "GRPCTransport",
      "GRPCFrontend", "ContainerdClient", "DaemonConfiguration", "ShimRuntime", grpcCore, swiftProtobuf, nioCore, nioPosix, logging, argumentParser,
    ],
    path: "Sources/containerd-ref", exclude: readme(in: "Sources/containerd-ref"), swiftSettings: strict),

  module(
    "ConformanceWireSuites",
    [
      "ConformanceSuites", "ConformanceModels", "Protocols", "SystemKit", "CLinux", "BlockingIO", "Hashing", "OCI", "ContainerdAPI", "WireMapping",
      "ContainerdClient", "FrameShield",
      grpcCore, grpcPosix, swiftProtobuf, nioCore, nioPosix, nioHTTP1,
    ], path: "conformance/Wire"),
  module(
    "ConformanceBoundarySuites",
    [
      "ConformanceSuites", "ConformanceWireSuites", "InMemoryFakes", "Protocols", "SystemKit", "CLinux", "BlockingIO", "Hashing", "OCI",
    ], path: "conformance/Boundaries"),
  module(
    "ConformanceTargets",
    [
      "ConformanceKit", "ConformanceSuites", "ConformanceModels", "ConformanceSystemSuites", "ConformanceWireSuites", "ConformanceBoundarySuites",
      "TestSupport", "InMemoryFakes",
      "Protocols",
      "Hashing", "OCI", "SystemKit", "CLinux", "BlockingIO", "LocalContentStore", "LayerArchive", "OverlaySnapshotter", "Metadata", "ShimRuntime",
      "ContainerSpec", "FuseSnapshotter", "FuseServer", "LazyLayers", "LayerIndex",
      "ContainerdAPI", "WireMapping", "ContainerdClient", "GRPCFrontend", "GRPCTransport", "RegistryFetcher", "EmbeddedRegistry", "ImagePull", "ImageUnpack",
      grpcCore, grpcPosix, swiftProtobuf, nioCore, nioPosix, logging, grdb,
    ], path: "conformance/Targets"),
  module(
    "ConformanceMutants",
    [
      "ConformanceKit", "ConformanceSuites", "ConformanceModels", "ConformanceSystemSuites", "ConformanceWireSuites", "ConformanceBoundarySuites",
      "InMemoryFakes", "Protocols", "Hashing", "OCI",
      "SystemKit", "CLinux", "BlockingIO", "ContainerdAPI", "WireMapping", "ContainerdClient", grpcCore, grpcPosix, swiftProtobuf, nioCore, nioPosix, nioHTTP1,
    ], path: "conformance/Mutants"),
  .executableTarget(
    name: "containerd-conformance",
    dependencies: [
      "ConformanceKit", "ConformanceSuites", "ConformanceReports", "ConformanceTargets", "ConformanceMutants", "ConformanceModels", "Protocols", "SystemKit",
      "CLinux",
      "BlockingIO", argumentParser,
    ], path: "conformance/Program", swiftSettings: strict),

  tests(
    "RegistryFetcherTests",
    [
      "RegistryFetcher", "EmbeddedRegistry", "Protocols", "OCI", "Hashing", "ImagePull", "InMemoryFakes", "LocalContentStore", "TestSupport",
      product("AsyncHTTPClient", "async-http-client"), nioCore, nioHTTP1,
    ]),
  tests(
    "LazyImagesTests",
    [
      "LazyImages", "FuseSnapshotter", "LazyLayers", "LayerIndex", "RegistryFetcher", "EmbeddedRegistry",
      "Protocols", "OCI", "Hashing", "SystemKit", "CLinux", "TestSupport",
    ]),
  tests("MetricsServerTests", ["MetricsServer", "Protocols", "BlockingIO", "TestSupport"]),
  tests("DaemonConfigurationTests", ["DaemonConfiguration", "Protocols"]),
  tests("CommandLineTests", ["containerd-ref", "ImagePull", "Protocols", logging, argumentParser]),
  tests("ContainerdAPITests", ["ContainerdAPI", "ShimWire", swiftProtobuf]),
  tests("BoundaryTests", ["ConformanceKit", "ConformanceSuites", "ConformanceTargets", "TestSupport"]),
  tests(
    "ConformanceTests",
    [
      "ConformanceKit", "ConformanceSuites", "ConformanceReports", "ConformanceTargets", "ConformanceMutants", "ConformanceModels", "InMemoryFakes",
      "Protocols",
      "TestSupport",
    ]),
  tests("GRPCTransportTests", ["GRPCTransport", "FrameShield", "BlockingIO", grpcCore, grpcPosix, nioCore, nioPosix, nioEmbedded]),
  tests(
    "GRPCFrontendTests",
    [
      "GRPCFrontend", "GRPCTransport", "ContainerdClient", "ConformanceSuites", "CLinux", "ContainerdAPI", "Protocols", "InMemoryFakes", "Hashing", logging,
      grpcCore,
      swiftProtobuf, "TestSupport",
      product("GRPCInProcessTransport", "grpc-swift-2"),
    ]),
  tests(
    "ShimRuntimeTests",
    ["ShimRuntime", "ConformanceSuites", "ContainerdAPI", "Protocols", "SystemKit", "CLinux", "TestSupport", swiftProtobuf, nioCore, nioPosix]),
  tests("EndToEndTests", ["ContainerdClient", "Protocols", "ShimWire", "SystemKit", "CLinux", "TestSupport"]),
]

let coreOnly = Context.environment["CORE_ONLY"] != nil
var targets = (coreOnly ? core : core + network).filter { exists($0.path!) }

if let only = Context.environment["REF_ONLY"] {
  var wanted = Set(only.split(separator: ",").map(String.init))
  var grew = true
  while grew {
    grew = false
    for target in targets where wanted.contains(target.name) {
      for case .byNameItem(let name, _) in target.dependencies where wanted.insert(name).inserted { grew = true }
    }
  }
  targets = targets.filter { wanted.contains($0.name) }
}

let present = Set(targets.map(\.name))
for target in targets {
  target.dependencies.removeAll { if case .byNameItem(let name, _) = $0 { !present.contains(name) } else { false } }
}

let usesNetwork = !coreOnly && targets.contains { target in network.contains { $0.name == target.name } }
let corePackages: [Package.Dependency] = [
  .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0")
]
let networkPackages: [Package.Dependency] = [
  .package(url: "https://github.com/grpc/grpc-swift-2", exact: "2.4.3"),
  .package(url: "https://github.com/grpc/grpc-swift-protobuf", exact: "2.4.1"),
  .package(url: "https://github.com/grpc/grpc-swift-nio-transport", exact: "2.9.2"),
  .package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0", traits: []),
  .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
  .package(url: "https://github.com/apple/swift-nio-http2", exact: "1.46.0"),
  .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
  .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
  .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
  .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
  .package(url: "https://github.com/LebJe/TOMLKit", exact: "0.6.0"),
]

let package = Package(
  name: "containerd-ref",
  dependencies: usesNetwork ? corePackages + networkPackages : corePackages,
  targets: targets
)
