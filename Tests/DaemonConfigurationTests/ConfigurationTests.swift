import DaemonConfiguration
import Protocols
import Testing

@Suite struct ConfigurationTests {
  /// The message of the error that a document is refused with.
  private func refusal(_ text: String) -> String? {
    do {
      _ = try Configuration(toml: text)
      return nil
    } catch { return error.message }
  }

  @Test func whatIsPrintedReadsBackTheSame() throws {
    var configuration = try Configuration(toml: "")
    configuration.address = configuration.socket
    #expect(try Configuration(toml: configuration.toml) == configuration)

    configuration.root = "/a \"quoted\" \\ path\twith\u{1}everything ü"
    configuration.state = "/s"
    configuration.oomScore = -500
    configuration.address = "/run/other.sock"
    configuration.uid = 1000
    configuration.gid = 0
    configuration.maximumMessageSize = 1 << 20
    configuration.level = "trace"
    configuration.format = "json"
    configuration.timeouts.load = .milliseconds(1500)
    configuration.collection.scheduleDelay = .zero
    configuration.overlayRoot = "/fast/disk"
    configuration.runtimes = ["io.containerd.runc.v2": "/usr/bin/containerd-shim-runc-v2", "odd name": "x"]
    configuration.proxySnapshotters = [
      "fuse": .init(address: "/run/fuse.sock"),
      "other.one": .init(address: "/odd \"path\"", capabilities: ["remap-ids", "rebase"], exports: ["root": "/var/lib/x", "a key": "v"]),
    ]
    #expect(try Configuration(toml: configuration.toml) == configuration)
  }

  @Test func everyFieldIsRead() throws {
    let configuration = try Configuration(
      toml: """
        version = 2
        root = "/r"
        state = "/s"
        oom_score = 17
        [grpc]
          address = "/a.sock"
          uid = 5
          gid = 6
          max_recv_message_size = 33554432
        [debug]
          level = "debug"
          format = "json"
        [timeouts]
          "io.containerd.timeout.shim.cleanup" = "5s"
          "io.containerd.timeout.shim.load" = "1m30s"
          "io.containerd.timeout.shim.shutdown" = "250ms"
          "io.containerd.timeout.task.state" = "1.5s"
        [plugins."io.containerd.gc.v1.scheduler"]
          startup_delay = "1s"
          schedule_delay = "0s"
        [plugins."io.containerd.metadata.v1.bolt"]
          content_sharing_policy = "shared"
        [plugins."io.containerd.snapshotter.v1.overlayfs"]
          root_path = "/o"
        [runtimes]
          "io.containerd.runc.v2" = "shim"
        """)
    #expect(configuration.root == "/r" && configuration.state == "/s" && configuration.oomScore == 17)
    #expect(configuration.socket == "/a.sock" && configuration.uid == 5 && configuration.gid == 6 && configuration.maximumMessageSize == 32 << 20)
    #expect(configuration.level == "debug" && configuration.format == "json")
    #expect(configuration.timeouts.cleanup == .seconds(5) && configuration.timeouts.load == .seconds(90))
    #expect(configuration.timeouts.shutdown == .milliseconds(250) && configuration.timeouts.state == .milliseconds(1500))
    #expect(configuration.collection.startupDelay == .seconds(1) && configuration.collection.scheduleDelay == .zero)
    #expect(configuration.overlayRoot == "/o" && configuration.runtimes == ["io.containerd.runc.v2": "shim"])
    #expect(configuration.warnings.isEmpty)
  }

  @Test func theSocketIsInTheStateDirectoryUnlessGiven() throws {
    #expect(try Configuration(toml: "state = \"/x\"").socket == "/x/containerd.sock")
  }

  @Test(arguments: ["version = 2", "version = 3", ""]) func versionsTwoAndThreeAreKnown(_ text: String) { #expect(refusal(text) == nil) }

  @Test(arguments: [
    ("version = 1", "version: must be 2 or 3"),
    ("rooot = \"/x\"", "unknown field rooot"),
    ("root = \"x\"", "root: must be an absolute path, not \"x\""),
    ("root = 3", "root: must be a string"),
    ("grpc = 3", "grpc: must be a table"),
    ("[grpc]\nadress = \"/x\"", "unknown field grpc.adress"),
    ("[grpc]\nuid = -1", "grpc.uid: must be a whole number from 0 to 2147483647"),
    ("[debug]\nlevel = \"loud\"", "debug.level: \"loud\" is none of trace, debug, info, warn, error, fatal, panic"),
    (
      "[timeouts]\n\"io.containerd.timeout.shim.load\" = \"soon\"",
      "timeouts.\"io.containerd.timeout.shim.load\": must be a time like \"5s\" or \"100ms\", not \"soon\""
    ),
    ("[plugins.\"io.containerd.gc.v1.scheduler\"]\ndelay = \"1s\"", "unknown field plugins.\"io.containerd.gc.v1.scheduler\".delay"),
    ("[plugins.mine]\nx = 1", "unknown field plugins.mine"),
    ("oom_score = 1001", "oom_score: must be a whole number from -1000 to 1000"),
  ]) func aFieldThatIsWrongIsNamed(_ text: String, _ message: String) {
    #expect(refusal(text) == message)
  }

  @Test func aDocumentThatIsNoTOMLIsRefusedWithTheLine() throws {
    let message = try #require(refusal("version = 2\nroot = \n"))
    #expect(message.hasPrefix("line 2: "))
  }

  @Test func isolatedContentIsRefusedNotIgnored() {
    #expect(throws: ContainerdError.self) { try Configuration(toml: "[plugins.\"io.containerd.metadata.v1.bolt\"]\ncontent_sharing_policy = \"isolated\"") }
  }

  @Test func fieldsOfContainerdThatMeanNothingHereAreWarnings() throws {
    let configuration = try Configuration(
      toml: """
        version = 3
        disabled_plugins = ["io.containerd.grpc.v1.cri"]
        [grpc]
          max_send_message_size = 16777216
        [ttrpc]
          address = ""
        [debug]
          address = "/x"
        [timeouts]
          "io.containerd.timeout.bolt.open" = "0s"
        [plugins."io.containerd.grpc.v1.cri".containerd]
          snapshotter = "overlayfs"
        [plugins."io.containerd.gc.v1.scheduler"]
          pause_threshold = 0.02
        """)
    #expect(
      Set(configuration.warnings) == [
        "disabled_plugins changes nothing here", "grpc.max_send_message_size changes nothing here", "debug.address changes nothing here",
        "timeouts.\"io.containerd.timeout.bolt.open\" changes nothing here", "plugins.\"io.containerd.grpc.v1.cri\" changes nothing here",
        "plugins.\"io.containerd.gc.v1.scheduler\".pause_threshold changes nothing here",
      ])
  }

  @Test func aFileThatWasAskedForMustBeThere() {
    #expect(throws: ContainerdError.notFound("configuration /nonexistent/config.toml")) { try Configuration(path: "/nonexistent/config.toml") }
  }

  @Test func snapshottersOfOtherProcessesAreRead() throws {
    let configuration = try Configuration(
      toml: """
        version = 2
        [proxy_plugins]
          [proxy_plugins.fuse]
            type = "snapshot"
            address = "unix:///run/fuse.sock"
            platform = "linux/amd64"
            capabilities = ["remap-ids"]
            [proxy_plugins.fuse.exports]
              root = "/var/lib/fuse"
          [proxy_plugins.second]
            type = "io.containerd.snapshotter.v1"
            address = "/run/second.sock"
          [proxy_plugins.store]
            type = "content"
            address = "somewhere"
            whatever = 3
        """)
    #expect(
      configuration.proxySnapshotters == [
        "fuse": .init(address: "/run/fuse.sock", capabilities: ["remap-ids"], exports: ["root": "/var/lib/fuse"]),
        "second": .init(address: "/run/second.sock"),
      ])
    #expect(
      Set(configuration.warnings) == ["proxy_plugins.fuse.platform changes nothing here", "proxy_plugins.store changes nothing here"])
  }

  @Test(arguments: [
    ("fuse", "address = \"/a\"", "proxy_plugins.fuse.type: is missing"),
    ("fuse", "type = \"snapshot\"", "proxy_plugins.fuse.address: is missing"),
    ("fuse", "type = \"snapshot\"\naddress = \"a\"", "proxy_plugins.fuse.address: must be an absolute path"),
    ("fuse", "type = \"snapshot\"\naddress = 3", "proxy_plugins.fuse.address: must be a string"),
    ("fuse", "type = \"snapshot\"\naddress = \"/a\"\nadress = \"/b\"", "unknown field proxy_plugins.fuse.adress"),
    ("overlayfs", "type = \"snapshot\"\naddress = \"/a\"", "proxy_plugins.overlayfs: the daemon has a snapshotter of its own"),
    ("\"a/b\"", "type = \"snapshot\"\naddress = \"/a\"", "proxy_plugins.a/b: "),
  ]) func aSnapshotterThatCannotBeIsRefused(_ name: String, _ fields: String, _ expected: String) {
    let refusal = refusal("[proxy_plugins.\(name)]\n\(fields)\n")
    #expect(refusal?.hasPrefix(expected) == true, "\(refusal ?? "accepted")")
  }
}
