extension Configuration {
  /// The configuration as a document that reads back as the same configuration, every field with what it means.
  public var toml: String {
    var lines = [
      "version = 2", "",
      "# What must survive a reboot: content, snapshots, metadata.", "root = \(Self.quoted(root))", "",
      "# What need not: sockets, bundles of running containers.", "state = \(Self.quoted(state))", "",
      "# How willing the kernel is to kill the daemon when memory is short, -1000 to 1000; 0 leaves it as it is.", "oom_score = \(oomScore)", "",
      "[grpc]", "  # The socket that clients talk to.", "  address = \(Self.quoted(socket))",
    ]
    if let uid { lines += ["  # Who owns the socket.", "  uid = \(uid)"] }
    if let gid { lines += ["  # Which group may talk to the daemon.", "  gid = \(gid)"] }
    lines += [
      "  # Bytes of one message from a client.", "  max_recv_message_size = \(maximumMessageSize)", "",
      "[debug]", "  # trace, debug, info, warn or error", "  level = \(Self.quoted(level))", "  # text or json", "  format = \(Self.quoted(format))", "",
      "[timeouts]", "  # How long a shim may take: to clean up after itself, to answer a daemon that comes back, to end, to tell a process's state.",
      "  \"io.containerd.timeout.shim.cleanup\" = \(Self.quoted(GoDuration.text(timeouts.cleanup)))",
      "  \"io.containerd.timeout.shim.load\" = \(Self.quoted(GoDuration.text(timeouts.load)))",
      "  \"io.containerd.timeout.shim.shutdown\" = \(Self.quoted(GoDuration.text(timeouts.shutdown)))",
      "  \"io.containerd.timeout.task.state\" = \(Self.quoted(GoDuration.text(timeouts.state)))", "",
      "[plugins.\"io.containerd.gc.v1.scheduler\"]", "  # When garbage is collected: after the daemon's start, and after something was let go.",
      "  startup_delay = \(Self.quoted(GoDuration.text(collection.startupDelay)))",
      "  schedule_delay = \(Self.quoted(GoDuration.text(collection.scheduleDelay)))", "",
      "[plugins.\"io.containerd.metadata.v1.sqlite\"]", "  # Namespaces share the bytes of content, never its names.",
      "  content_sharing_policy = \"shared\"", "",
      "[plugins.\"io.containerd.snapshotter.v1.overlayfs\"]", "  # Where snapshots are kept; empty is a place below the root directory.",
      "  root_path = \(Self.quoted(overlayRoot ?? ""))", "",
      "[runtimes]", "  # Runtime name = shim: a path, or the name of a program beside the daemon or in PATH.",
    ]
    for (name, path) in runtimes.sorted(by: { $0.key < $1.key }) { lines.append("  \(Self.quoted(name)) = \(Self.quoted(path))") }
    lines += proxyLines
    return lines.joined(separator: "\n") + "\n"
  }

  private var proxyLines: [String] {
    if proxySnapshotters.isEmpty { return [] }
    var lines = ["", "[proxy_plugins]", "  # Snapshotter's name = the socket where another process serves it."]
    for (name, plugin) in proxySnapshotters.sorted(by: { $0.key < $1.key }) {
      lines += ["  [proxy_plugins.\(Self.quoted(name))]", "    type = \"snapshot\"", "    address = \(Self.quoted(plugin.address))"]
      if !plugin.capabilities.isEmpty { lines.append("    capabilities = [\(plugin.capabilities.map(Self.quoted).joined(separator: ", "))]") }
      if plugin.exports.isEmpty { continue }
      lines.append("    [proxy_plugins.\(Self.quoted(name)).exports]")
      for (key, value) in plugin.exports.sorted(by: { $0.key < $1.key }) { lines.append("      \(Self.quoted(key)) = \(Self.quoted(value))") }
    }
    return lines
  }

  /// A TOML basic string.
  static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\t": quoted += "\\t"
      case "\r": quoted += "\\r"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f:
        let hex = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
