import BlockingIO
import CLinux
import ContainerdClient
import FuseKeeper
import FuseServer
import FuseSnapshotter
import GRPCFrontend
import GRPCTransport
import LayerArchive
import LazyImages
import LazyLayers
import Logging
import MetricsServer
import OverlaySnapshotter
import Protocols
import RegistryFetcher
import SystemKit

/// The composition root of a snapshotter that serves a containerd: the parts of a daemon that it needs, and no other.
struct SnapshotterServer {
  private let options: SnapshotterCommand.Serve
  private let logger: Logger
  private let reception: Reception
  private let signals = StopSignals([SIGTERM, SIGINT, WorkerSupervisor.handOver])

  init(_ options: SnapshotterCommand.Serve) {
    self.options = options
    let (format, level) = (LogOutput.Format(rawValue: options.logFormat) ?? .text, LogLevel.parse(options.logLevel) ?? .info)
    LoggingSystem.bootstrap { _ in LogOutput(format: format, level: level) }
    logger = Logger(label: "containerd-ref")
    reception = Reception(socket: options.address, inherited: options.worker ? WorkerSupervisor.inheritedSocket : nil, logger: logger)
  }

  func run() async throws {
    let options = options
    clinux_keep_heap_small()
    if options.worker {
      try WorkerSupervisor.endWithParent()
      let turn = try await DedicatedThread.run { WorkerSupervisor.waitForTurn() }
      reception.open()
      if turn == .toGreet { try await DedicatedThread.run { WorkerSupervisor.waitToBegin() } }
      WorkerSupervisor.beginsToServe()
    }
    try Files.makeDirectories(options.root, mode: 0o711)
    try Files.makeDirectories(Files.parent(of: options.address), mode: 0o711)
    switch options.backend {
    case .overlay:
      let lock = try WorkerSupervisor.lock(options.root)
      if let claim = try FuseSnapshotter.claim(on: options.root) { throw ContainerdError.failedPrecondition("\(claim): it needs --backend fuse") }
      try await serve(try OverlaySnapshotter(root: options.root))
      withExtendedLifetime(lock) {}
    case .fuse:
      options.idle.apply { logger.notice("\($0)") }
      // containerd may be started later, and again.
      try await ContainerdClient.with(socket: options.containerd, namespace: "default", lasting: true) { client in try await serve(fuse: client) }
    }
  }

  private func serve(fuse client: ContainerdClient) async throws {
    let (options, logger) = (options, logger)
    // Before mounts are taken over: a server that cannot do what it was told has done nothing yet.
    let metrics: MetricsServer?
    if let address = options.metrics { metrics = try await MetricsServer(address) } else { metrics = nil }
    let resolver = RegistryResolver(configuration: options.registries.configuration { logger.warning("\($0)") })
    do { try await serve(client, metrics, resolver) } catch {
      // The error that counts is the one at hand.
      try? await resolver.close()
      throw error
    }
    try await resolver.close()
  }

  private func serve(_ client: ContainerdClient, _ metrics: MetricsServer?, _ resolver: RegistryResolver) async throws {
    let (options, logger) = (options, logger)
    let log: @Sendable (String) -> Void = { logger.info("\($0)") }
    let work = WorkCommand.place
    let (indexes, daemon) = ("\(options.root)/indexes", options.containerd)
    let referred = ReferredIndexes(resolver: resolver, source: resolver) { logger.debug("\($0)") }
    let library = ImageLibrary(
      resolver: resolver,
      content: { namespace in
        var client = client
        client.scope.namespace = namespace
        return DaemonContent(store: client.content, images: client.images)
      }, indexes: indexes, referred: referred, trust: options.indexTrust, repositories: options.indexRepository, work: work,
      maker: { try work.ask(IndexWork($0, daemon: daemon, namespace: $1, indexes: indexes)) }, log: log)
    let policy = LayerPolicy(deadline: .seconds(options.deadline), fillsInBackground: !options.noBackground, replaysAccesses: !options.noPrefetch)
    let mountPoint = "\(options.root)/apply"
    try Files.makeDirectories(mountPoint, mode: 0o700)
    let program = try Executable.path()
    // A mount through libfuse ends with its server: nothing can be kept.
    let keeper =
      options.transport == .libfuse ? nil : try KeeperConnection(root: options.root, command: [program, "snapshotter", "keep", "--root", options.root])
    let snapshotter = try FuseSnapshotter(
      root: options.root, images: library, applier: ArchiveApplier(mountPoint: mountPoint), policy: policy, keeper: keeper,
      transport: options.transport == .raw ? .raw : .libfuse, stacking: try stacking(program), work: work, log: log)
    try await snapshotter.recover()
    if let metrics { logger.info("figures", metadata: ["address": "http://\(metrics.address)/metrics"]) }
    try await serve(snapshotter) { try await metrics?.run { snapshotter.figures.text } }
  }

  /// Never silently: what was found out is told.
  private func stacking(_ program: String) throws -> FuseSnapshotter.Stacking {
    let union = FuseSnapshotter.Stacking.union(
      command: [program, "snapshotter", "union"] + (options.transport == .libfuse ? ["--libfuse"] : []) + options.idle.arguments)
    switch options.stacking {
    case .overlay: return .overlay
    case .union: return union
    case .auto:
      do {
        guard let reason = try OverlaySnapshotter.obstacle(root: options.root) else { return .overlay }
        logger.warning("snapshots are unions in FUSE: \(reason)")
        return union
      } catch {
        // As it was.
        let before = try FuseSnapshotter.hasUnions(options.root)
        logger.warning("snapshots are \(before ? "unions in FUSE" : "overlays") as before: whether overlayfs works cannot be found out: \(error)")
        return before ? union : .overlay
      }
    }
  }

  /// - Parameter beside: runs as long as the server does; its end is not the server's.
  private func serve(_ snapshotter: any Snapshotter, beside: @escaping @Sendable () async throws -> Void = {}) async throws {
    let reception = reception
    let signals = signals
    let (logger, options) = (logger, options)
    let side = Task {
      do { try await beside() } catch is CancellationError {
      } catch { logger.error("figures are served no more: \(error)") }
    }
    defer { side.cancel() }
    try await withThrowingTaskGroup(of: Int32?.self) { group in
      group.addTask {
        try await reception.serve(snapshotter)
        return nil
      }
      group.addTask { await signals.wait() }
      logger.info("serving", metadata: ["address": "\(options.address)", "root": "\(options.root)", "backend": "\(options.backend.rawValue)"])
      var signal = try await group.next() ?? nil
      if signal == WorkerSupervisor.handOver {
        logger.info("handing over")
        reception.stop()
        group.addTask { await signals.wait() }
        // Reads are answered as long as there is a call.
        signal = try await group.next() ?? nil
        // All else is the successor's, mounts too.
        if signal == nil { _exit(0) }
      }
      logger.info("stopping")
      reception.stop()
      group.cancelAll()
    }
    try await snapshotter.close()
  }

  private struct DaemonContent: ImageContent {
    let store: any ContentStore
    let images: any ImageStore

    func imageNames() async throws -> [String] { try await images.list(FilterSet.all).map(\.name) }

    func reader(_ digest: Digest) async throws -> any ContentReader { try await store.reader(digest) }

    func list(_ filters: FilterSet) async throws -> [ContentInfo] {
      let found = Found()
      try await store.walk(filters) { await found.append($0) }
      return await found.infos
    }

    private actor Found {
      private(set) var infos: [ContentInfo] = []
      func append(_ info: ContentInfo) { infos.append(info) }
    }
  }
}
