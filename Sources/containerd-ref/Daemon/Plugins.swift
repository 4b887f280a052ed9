import DaemonConfiguration
import GRPCFrontend

/// The daemon's parts under containerd's plugin names, as clients ask for them.
enum Plugins {
  static func list(content: String, overlay: String, metadata: String, proxies: [String: Configuration.ProxySnapshotter] = [:]) -> [Plugin] {
    let stores = ["io.containerd.content.v1", "io.containerd.snapshotter.v1"]
    var plugins = [
      Plugin(type: "io.containerd.content.v1", id: "content", exports: ["root": content]),
      Plugin(type: "io.containerd.snapshotter.v1", id: "overlayfs", exports: ["root": overlay], hasPlatform: true),
      Plugin(type: "io.containerd.metadata.v1", id: "sqlite", requires: stores, exports: ["path": metadata, "policy": "shared"]),
      Plugin(type: "io.containerd.differ.v1", id: "walking", requires: ["io.containerd.metadata.v1"], hasPlatform: true),
      Plugin(type: "io.containerd.event.v1", id: "exchange"),
      Plugin(type: "io.containerd.gc.v1", id: "scheduler", requires: ["io.containerd.metadata.v1"]),
      Plugin(type: "io.containerd.runtime.v2", id: "task", requires: ["io.containerd.event.v1"], hasPlatform: true),
    ]
    for (name, proxy) in proxies.sorted(by: { $0.key < $1.key }) {
      plugins.append(
        Plugin(type: "io.containerd.snapshotter.v1", id: name, exports: proxy.exports, capabilities: proxy.capabilities, hasPlatform: true))
    }
    for service in [
      "containers", "content", "diff", "events", "healthcheck", "images", "introspection", "leases", "namespaces", "snapshots", "tasks", "version",
    ] {
      plugins.append(Plugin(type: "io.containerd.grpc.v1", id: service))
    }
    return plugins
  }
}
