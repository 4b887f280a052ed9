import ArgumentParser
import CLinux
import Foundation
import FuseKeeper
import FuseUnion
import LazyImages
import MetricsServer
import OCI
import Protocols
import SystemKit

struct SnapshotterCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "snapshotter", abstract: "A snapshotter of ours as a plugin of any containerd.",
    subcommands: [Serve.self, Keep.self, Union.self, Catalog.self, WorkCommand.self])

  struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Serve a snapshotter on a socket, until SIGTERM or SIGINT.",
      discussion: """
        containerd finds it by its configuration:

          [proxy_plugins.fuse]
            type = "snapshot"
            address = "/run/containerd-ref/fuse.sock"

        Then "ctr pull --snapshotter fuse IMAGE" fetches manifest and config only, if there is an index of the image's layers: their bytes come when they
        are read.  kill -HUP replaces the server by the program that is in its place now; mounts and whoever reads them notice a pause. An image that is new here is pulled as ever, and its indexes are made when its layers are unpacked. docs/fuse-snapshotter.md says more.
        """)

    enum Backend: String, ExpressibleByArgument, CaseIterable { case fuse, overlay }

    @Option(help: "overlay: every layer is unpacked before a container starts. fuse: layers of which there is an index are fetched as they are read.")
    var backend: Backend
    @Option(name: .shortAndLong, help: "Socket to serve.")
    var address: String
    @Option(help: "Directory for snapshots, layers and indexes.")
    var root = "/var/lib/containerd-ref/snapshotter"
    @Option(help: "Socket of the containerd that this is a plugin of: what images there are, and where they came from. Of fuse only.")
    var containerd = "/run/containerd/containerd.sock"
    @Option(help: "Seconds that a read waits for a registry before it is an error. Of fuse only.")
    var deadline = 60
    @Flag(help: "Do not fetch whole layers: only what is read, and what an earlier start of the image has read first. Of fuse only.")
    var noBackground = false
    @Flag(help: "Do not fetch ahead what an earlier start of the image has read first. Of fuse only.")
    var noPrefetch = false
    @Option(help: "What puts a writable directory over layers: the kernel's overlay, or a union in FUSE where there is none (auto finds out). Of fuse only.")
    var stacking: Stacking = .auto
    @Option(
      help: """
        The way to the kernel. raw: /dev/fuse, so that mounts outlive the server. libfuse: where the raw device must not be spoken to; what runs on a mount loses \
        it when the server ends. Of fuse only.
        """)
    var transport: Transport = .raw
    @Option(
      help: """
        Whose indexes are believed until a layer is whole and was checked: local, those made here; repository, those too that are in the image's own repository or \
        in the layer; any, those too in --index-repository. Of fuse only.
        """)
    var indexTrust = IndexTrust.repository
    @Option(help: ArgumentHelp("A further repository to look for indexes in; may be repeated. With --index-trust any.", valueName: "REGISTRY/REPOSITORY"))
    var indexRepository: [String] = []
    @OptionGroup(title: "Processors, of fuse only") var idle: IdleOption
    @OptionGroup(title: "Registries, of fuse only") var registries: RegistryOptions
    @Option(
      help: ArgumentHelp(
        "Serve figures for Prometheus at http://HOST:PORT/metrics, in plain text and to everybody who can reach it; without HOST on loopback. Of fuse only.",
        valueName: "[HOST]:PORT"))
    var metrics: String?
    @Flag(help: .hidden)
    var worker = false

    enum Stacking: String, ExpressibleByArgument, CaseIterable { case auto, overlay, union }
    enum Transport: String, ExpressibleByArgument, CaseIterable { case raw, libfuse }
    @Option(name: .shortAndLong, help: "trace, debug, info, warn or error.")
    var logLevel = "info"
    @Option(help: "text or json.")
    var logFormat = "text"

    func validate() throws {
      if LogLevel.parse(logLevel) == nil { throw ValidationError("--log-level \"\(logLevel)\" is none of \(LogLevel.names)") }
      if LogOutput.Format(rawValue: logFormat) == nil { throw ValidationError("--log-format \"\(logFormat)\" is neither text nor json") }
      if !indexRepository.isEmpty, indexTrust != .any { throw ValidationError("--index-repository is for --index-trust any") }
      for name in indexRepository where (try? ImageReference(parsing: name)) == nil {
        throw ValidationError("--index-repository \"\(name)\" must be REGISTRY/REPOSITORY")
      }
      if let metrics {
        if backend != .fuse { throw ValidationError("--metrics is of --backend fuse") }
        do { _ = try MetricsServer.parse(metrics) } catch { throw ValidationError("--metrics \(error.message)") }
      }
      if deadline < 1 { throw ValidationError("--deadline \(deadline) must be at least 1") }
      for (option, path) in [("--root", root), ("--address", address), ("--containerd", containerd)] where !path.hasPrefix("/") {
        throw ValidationError("\(option) \"\(path)\" must be an absolute path")
      }
      // Arguments that are none are repaired before anybody sees them: what is served would be another directory.
      for (option, path) in [("--root", root), ("--address", address)] where path.contains("\u{FFFD}") {
        throw ValidationError("\(option) \"\(path)\" must be UTF-8")
      }
    }

    func run() async throws {
      // Every layer that is served takes two, for as long as it is here.
      clinux_raise_descriptors()
      if backend == .overlay || worker { return try await SnapshotterServer(self).run() }
      try await WorkerSupervisor(arguments: CommandLine.arguments + ["--worker"], socket: address, root: root).run()
    }
  }

  /// What a server starts, and what outlives it.
  struct Keep: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Hold the FUSE mounts of a snapshotter while its server is replaced.",
      discussion: "A server starts it. It ends by itself when it holds nothing, or ten minutes after the last server has gone.", shouldDisplay: false)
    @Option(help: "The snapshotter's directory.")
    var root: String

    func run() throws {
      signal(SIGINT, SIG_IGN)
      clinux_raise_descriptors()
      var keeper = Keeper(root: root, patience: 600_000)
      try keeper.run()
    }
  }

  /// What a server starts for each union, and what outlives it: one process that holds the mount, and one, which that starts, that serves it.
  struct Union: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Mount a writable union and serve it until it is unmounted.",
      discussion: "A server starts it. Standard output is closed when it is mounted; if it cannot be, the reason is written there.", shouldDisplay: false)
    @Option(help: "File with the layers, as JSON.")
    var layers: String
    @Flag(help: .hidden)
    var serve = false
    @Flag(help: "Through libfuse, in one process: nobody goes on if that is killed.")
    var libfuse = false
    @OptionGroup var idle: IdleOption
    @Argument(help: "Where to mount it.")
    var target: String

    func run() throws {
      do {
        // By this one knows that it is still mounted somewhere.
        let plan = try Files.open(layers, O_RDONLY)
        defer { withExtendedLifetime(plan) {} }
        _ = clinux_flock(plan.raw, LOCK_SH)
        if serve { return try serveUnion { try UnionMount(serving: 3, state: 4, $0, at: target, log: { Failure.say($0) }) } }
        if libfuse { return try serveUnion { try UnionMount($0, at: target, transport: .libfuse, log: { Failure.say($0) }) } }
        // This very program: a successor of another version may not understand the tables.
        let command = ["/proc/self/exe", "snapshotter", "union", "--serve", "--layers", layers] + idle.arguments + [target]
        let status = try UnionKeeper(at: target, command: command, log: { Failure.say($0) }).run()
        if status != 0 { throw ExitCode(status) }
      } catch let code as ExitCode { throw code } catch {
        let message = (error as? ContainerdError)?.message ?? "\(error)"
        Output.text(message)
        Failure.say(message)
        throw ExitCode.failure
      }
    }

    private func serveUnion(_ begin: (UnionMount.Layers) throws -> UnionMount) throws {
      let layers = try JSONDecoder().decode(UnionMount.Layers.self, from: Data(try Files.read(layers)))
      if serve { for descriptor: Int32 in 3...4 { _ = clinux_fcntl(descriptor, F_SETFD, Int(FD_CLOEXEC)) } }
      idle.apply { Failure.say($0) }
      let mount = try begin(layers)
      // Whoever has started us waits for this.
      close(1)
      // Takes its number, so that nothing else does.
      _ = open("/dev/null", O_WRONLY)
      mount.waitForEnd()
    }
  }
}

extension SnapshotterCommand {
  /// For unions that are mounted by hand: a server makes those of its own layers itself.
  struct Catalog: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Write down the names and attributes of everything in a directory, for unions over it.", shouldDisplay: false)
    @Argument(help: "A directory that nobody will write to any more.")
    var directory: String
    @Argument(help: "The file to write.")
    var file: String

    func run() throws { try UnionMount.catalog(directory, in: file) }
  }
}

extension IndexTrust: ExpressibleByArgument {}
