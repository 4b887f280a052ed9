import ConformanceKit
import ConformanceSuites

/// A form of address, and how a target is made of one.
public struct TargetScheme: Sendable {
  /// As it is shown in help: `snapshotter+grpc://SOCKET?name=NAME`.
  public let form: String
  public let summary: String
  /// nil if the address is not of this form.
  let open: @Sendable (_ address: String) throws -> Target?

  public static let all: [TargetScheme] = [
    TargetScheme(form: "inproc:fake", summary: "the in-memory fakes: the executable specification") { $0 == "inproc:fake" ? .fake($0) : nil },
    TargetScheme(
      form: "oci-runtime:PROGRAM[?cgroups=disabled]", summary: "an OCI runtime's command line, by path or name: oci-runtime:/usr/sbin/runc (root)",
      open: Target.ociRuntime),
    TargetScheme(form: "inproc:overlay", summary: "the local content store, overlay snapshotter, applier and differ of this package (root)") {
      $0 == "inproc:overlay" ? .overlay($0) : nil
    },
    TargetScheme(form: "inproc:fuse-overlayfs", summary: "the same snapshotter's layers, mounted by /usr/bin/fuse-overlayfs (root)") {
      $0 == "inproc:fuse-overlayfs" ? .fuseOverlay($0) : nil
    },
    TargetScheme(form: "inproc:metadata", summary: "the metadata store of this package on SQLite, over the in-memory fakes") {
      $0 == "inproc:metadata" ? .metadata($0) : nil
    },
    TargetScheme(form: "inproc:grpc", summary: "the services of this package over the in-memory fakes, asked through a socket") {
      $0 == "inproc:grpc" ? .grpc($0) : nil
    },
    TargetScheme(form: "inproc:fake-remote", summary: "a remote snapshotter without a network: it has the layers of one image") {
      $0 == "inproc:fake-remote" ? .fakeRemote($0) : nil
    },
    TargetScheme(form: "inproc:fake-lazy", summary: "a lazy snapshotter without FUSE and network: the executable specification of those") {
      $0 == "inproc:fake-lazy" ? .fakeLazy($0) : nil
    },
    TargetScheme(
      form: "inproc:fuse[?transport=libfuse][&stacking=union]",
      summary:
        "the FUSE snapshotter of this package: ordinary snapshots on the kernel's overlay or on our union, and lazy layers of a registry on loopback (root, /dev/fuse)",
      open: Target.fuse),
    TargetScheme(form: "shim:PROGRAM", summary: "a containerd shim of version 2, by its path, or by its name beside this program (root)", open: Target.shim),
    TargetScheme(
      form: "snapshotter+grpc://SOCKET[?name=NAME]",
      summary: "a proxy-plugin snapshotter with an empty store of its own; with a name, the snapshotter NAME of the containerd that listens there"
    ) { try snapshotterAtSocket($0) },
    TargetScheme(
      form: "snapshotter-program:COMMAND[&stall=SECONDS][&failover=yes]",
      summary:
        "a proxy-plugin snapshotter by the line of shell that starts it on {root}, to listen on {socket}: each case starts one, and may kill it; with {containerd}, its layers may be lazy",
      open: Target.snapshotterProgram),
    TargetScheme(
      form: "containerd:PROGRAM[?snapshotter=NAME]",
      summary: "a containerd by its program: each case starts one on a directory of its own, and may kill it (root); crash and restart only",
      open: Target.containerdProgram),
    TargetScheme(form: "content+grpc://SOCKET", summary: "the content service of the containerd that listens there") { address in
      try SocketAddress(address, scheme: "content+grpc").map { .content(address, socket: $0.path) }
    },
    TargetScheme(
      form: "diff+grpc://SOCKET[?snapshotter=NAME]",
      summary: "the differ of the containerd that listens there, with its content and the snapshotter NAME (overlayfs), on this machine (root)",
      open: Target.differ),
    TargetScheme(form: "inproc:differ", summary: "the diff service of this package over its own applier, differ and overlay snapshotter, on a socket (root)") {
      $0 == "inproc:differ" ? .ownDiffer($0) : nil
    },
    TargetScheme(
      form: "daemon://SOCKET[?snapshotter=NAME]", summary: "a whole containerd: leases, collections, namespaces, images, events and content through its API",
      open: Target.daemon),
    TargetScheme(form: "inproc:daemon", summary: "the services of this package over its metadata store, on a socket of their own") {
      $0 == "inproc:daemon" ? .ownDaemon($0) : nil
    },
    TargetScheme(form: "inproc:pull", summary: "the registry client and the puller of this package, on the local content store") {
      $0 == "inproc:pull" ? .pull($0) : nil
    },
    TargetScheme(form: "inproc:pipeline", summary: "the puller and the unpacker of this package, between parts that the suite gives them") {
      $0 == "inproc:pipeline" ? .pipeline($0) : nil
    },
    TargetScheme(form: "inproc:ref-daemon", summary: "the daemon program of this package, started for each case: the lives of containers (root)") {
      $0 == "inproc:ref-daemon" ? .refDaemon($0) : nil
    },
    TargetScheme(
      form: "pipeline-client:COMMAND[&fetch=COMMAND]",
      summary: "a program that pulls {ref} through the containerd at {socket}, which the suite plays; the second command only fetches"
    ) { try .pipelineClient($0) },
    TargetScheme(
      form: "registry-client:COMMAND[&verify=COMMAND]",
      summary: "a program that pulls {ref} from a plain HTTP registry, into {dir} if it likes; the second command writes the blob {digest} or fails"
    ) { try .registryClient($0) },
  ]

  private static func snapshotterAtSocket(_ address: String) throws -> Target? {
    guard let parts = try SocketAddress(address, scheme: "snapshotter+grpc", parameters: ["name", "empty"]) else { return nil }
    return .snapshotter(address, socket: parts.path, name: parts.parameters["name"], mayEmpty: parts.parameters["empty"] == "yes")
  }
}

extension Target {
  /// The target at an address, as the command line names it.
  public init(at address: String) throws {
    for scheme in TargetScheme.all {
      if let target = try scheme.open(address) {
        self = target
        return
      }
    }
    throw SuiteError("\(address): no such target; an address has one of the forms \(TargetScheme.all.map(\.form).joined(separator: ", "))")
  }
}
