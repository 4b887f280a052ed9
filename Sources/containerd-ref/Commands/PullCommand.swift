import ArgumentParser
import ContainerdClient
import ImagePull
import Protocols

struct PullCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pull", abstract: "Pull an image into the daemon's store, and unpack it.",
    discussion: """
      What has arrived is not fetched again: an interrupted pull goes on where it stopped. On a terminal every blob has its bar; elsewhere every \
      finished blob has its line. Layers that a lazy snapshotter has without their blobs are not fetched; how \
      many these are is told, in JSON as "lazy".

        containerd-ref pull 127.0.0.1:5000/demo:latest
        containerd-ref pull --address /run/containerd/containerd.sock --snapshotter fuse registry.example/app:1
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: "The image, REGISTRY/REPOSITORY:TAG or …@sha256:DIGEST.")
  var image: String
  @OptionGroup var snapshots: SnapshotterOption
  @Flag(help: "Only fetch; unpack nothing.")
  var fetchOnly = false
  @Flag(help: "Speak plain HTTP to the registry (loopback registries need no flag).")
  var plainHttp = false
  @Option(name: .shortAndLong, help: ArgumentHelp("Who to be at the registry.", valueName: "USER:PASSWORD"))
  var user: String?
  @OptionGroup var registries: RegistryOptions
  @Flag(help: "Print the result as JSON, and no progress.")
  var json = false

  private struct Row: Encodable {
    var name: String
    var digest: String
    var layers: Int
    /// Of these, how many come when they are read: the snapshotter has them without their blobs.
    var lazy: Int
  }

  func run() async throws {
    let display = ProgressDisplay(quiet: json)
    let pulled = try await Interruption.guarding { [self] in
      try await client.connect { connection in
        try await ImagePulling(
          reference: image, snapshotter: snapshots.name, unpack: !fetchOnly, plainHTTP: plainHttp, credentials: user,
          registries: registries.configuration()
        ).run(connection, display)
      }
    }
    if json {
      let image = pulled.image
      try Output.json(Row(name: image.name, digest: image.target.digest.description, layers: image.layers.count, lazy: pulled.lazy))
    } else {
      Output.text("\(pulled.image.name) \(pulled.image.target.digest)\n")
    }
  }
}
