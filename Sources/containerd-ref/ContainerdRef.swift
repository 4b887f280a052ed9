import ArgumentParser

@main
struct ContainerdRef: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "containerd-ref",
    abstract: "The reference implementation of containerd's core: pull, store, unpack and run containers.",
    discussion: """
      Start the daemon with `containerd-ref serve`; any containerd client then drives it through its socket:

        containerd-ref serve --root /var/lib/containerd-ref --state /run/containerd-ref
        ctr --address /run/containerd-ref/containerd.sock version
      """,
    version: Version.text,
    subcommands: Self.commands)

  static let commands: [any ParsableCommand.Type] = [ServeCommand.self, PullCommand.self, ImagesCommand.self, ConfigCommand.self, RegistryCommand.self]
}

enum Version {
  static let number = "0.1.0"
  static let revision = "reference"
  static let text = "containerd-ref \(number)"
}
