import CLinux
import DaemonConfiguration
import Dispatch
import GRPCFrontend
import GRPCTransport
import LayerArchive
import LocalContentStore
import Logging
import Metadata
import OverlaySnapshotter
import Protocols
import ShimRuntime
import SystemKit

/// The composition root: the one place that sees implementations.
///
/// It opens the stores, finds the containers that outlived the previous daemon, and serves containerd's API until told to end.
struct Daemon {
  let configuration: Configuration
  let logger: Logger

  init(configuration: Configuration) throws {
    self.configuration = configuration
    guard let level = LogLevel.parse(configuration.level) else {
      throw ContainerdError.invalidArgument("log level \"\(configuration.level)\" is none of \(LogLevel.names)")
    }
    let format: LogOutput.Format = configuration.format == "json" ? .json : .text
    LoggingSystem.bootstrap { _ in LogOutput(format: format, level: level) }
    logger = Logger(label: "containerd-ref")
  }

  func run() async throws {
    for warning in configuration.warnings { logger.warning("configuration: \(warning)") }
    let root = configuration.root
    let state = configuration.state
    // Other users may pass through, not look around: container file systems lie below (CVE-2021-41103).
    try Files.makeDirectories(root, mode: 0o711)
    try Files.makeDirectories(state, mode: 0o711)
    try Files.makeDirectories(Files.parent(of: configuration.socket), mode: 0o711)
    let contentRoot = "\(root)/io.containerd.content.v1.content"
    let overlayRoot = configuration.overlayRoot ?? "\(root)/io.containerd.snapshotter.v1.overlayfs"
    let metadataRoot = "\(root)/io.containerd.metadata.v1.sqlite"
    let mountPoint = "\(state)/apply"
    for directory in [metadataRoot, mountPoint] { try Files.makeDirectories(directory, mode: 0o700) }
    if configuration.oomScore != 0 { try OOMScore.set(configuration.oomScore) }

    let database = "\(metadataRoot)/meta.db"
    let blobs = ["sha256", "sha384", "sha512"].map { "\(contentRoot)/blobs/\($0)" }
    try LostDatabase.refuse(database, named: blobs + ["\(overlayRoot)/snapshots"])
    try LostDatabase.refuse("\(overlayRoot)/index.db", named: ["\(overlayRoot)/snapshots"])

    let events = EventBus()
    let content = try LocalContentStore(root: contentRoot)
    let overlay = try OverlaySnapshotter(root: overlayRoot)
    let proxies = configuration.proxySnapshotters.map { ProxySnapshotter(name: $0, address: $1.address) }
    var snapshotters: [String: any Snapshotter] = ["overlayfs": overlay]
    for proxy in proxies { snapshotters[proxy.name] = proxy }
    let metadata = try SQLiteMetadataStore(path: database, content: content, snapshotters: snapshotters, events: events)
    for failure in await metadata.settleCommits() { logger.warning("after the last end: \(failure)") }
    let collector = GarbageScheduler(metadata: metadata, delays: configuration.collection, logger: logger)
    let runtime = ShimRuntime(
      configuration: ShimRuntime.Configuration(
        state: state, root: root, address: configuration.socket, executable: try Executable.path(),
        shims: ShimRuntime.Configuration.defaultShims.merging(configuration.runtimes) { $1 },
        debug: ["debug", "trace"].contains(configuration.level), commandTimeout: configuration.timeouts.cleanup,
        reattachTimeout: configuration.timeouts.load, stateTimeout: configuration.timeouts.state, shutdownTimeout: configuration.timeouts.shutdown),
      events: events, logger: logger)

    let backends = Backends(
      metadata: metadata, applier: ArchiveApplier(mountPoint: mountPoint), differ: ArchiveDiffer(mountPoint: mountPoint), runtime: runtime,
      events: events, scheduleCollection: { collector.schedule() },
      plugins: Plugins.list(content: contentRoot, overlay: overlayRoot, metadata: database, proxies: configuration.proxySnapshotters),
      identity: try Identity.load(root: root))
    let server = GRPCSocketServer(
      socket: configuration.socket, uid: configuration.uid, gid: configuration.gid, maximumMessageSize: configuration.maximumMessageSize,
      services: GRPCFrontend.services(backends), interceptors: [ContainerdInterceptor(logger: logger)])

    try await runtime.start()
    await runtime.reattach()
    collector.begin()
    let signals = StopSignals()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.serve() }
      group.addTask {
        await signals.wait()
        server.stop()
        throw Stopping()
      }
      logger.info("serving", metadata: ["address": "\(configuration.socket)", "root": "\(root)", "state": "\(state)"])
      do {
        try await group.next()
      } catch is Stopping {
        logger.info("stopping; containers go on")
      }
      group.cancelAll()
    }
    await runtime.stop()
    for proxy in proxies { try await proxy.close() }
  }

  private struct Stopping: Error {}
}

enum LogLevel {
  static let names = "trace, debug, info, warn, error"
  static func parse(_ text: String) -> Logger.Level? {
    switch text {
    case "trace": .trace
    case "debug": .debug
    case "info", "": .info
    case "warn", "warning": .warning
    case "error", "fatal", "panic": .error
    default: nil
    }
  }
}
