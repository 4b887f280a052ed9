import Protocols
import TOMLKit

/// The grammar: every field by name. A field of ours, or a misspelt one, is an error where it is wrong; a field of containerd's that has no meaning
/// here is a warning, so that its files can be used as they are.
extension Configuration {
  private static let otherTopLevel: Set<String> = [
    "temp", "plugin_dir", "disabled_plugins", "required_plugins", "imports", "metrics", "cgroup", "stream_processors",
  ]

  mutating func read(_ document: Section) throws(ContainerdError) {
    for key in document.keys {
      switch key {
      case "version":
        guard let version = document.table[key]?.int, (2...3).contains(version) else { throw document.wrong(key, "must be 2 or 3") }
      case "root": root = try document.path(key)
      case "state": state = try document.path(key)
      case "oom_score": oomScore = try document.integer(key, -1000...1000)
      case "grpc": try readGRPC(document.section(key))
      case "ttrpc": try readTTRPC(document.section(key))
      case "debug": try readDebug(document.section(key))
      case "timeouts": try readTimeouts(document.section(key))
      case "plugins": try readPlugins(document.section(key))
      case "proxy_plugins":
        let section = try document.section(key)
        for name in section.keys { try readProxy(name, section.section(name), in: section) }
      case "runtimes":
        let section = try document.section(key)
        for name in section.keys { runtimes[name] = try section.text(name) }
      case _ where Self.otherTopLevel.contains(key): ignore(document, key)
      default: throw unknown(document, key)
      }
    }
  }

  private mutating func readGRPC(_ section: Section) throws(ContainerdError) {
    for key in section.keys {
      switch key {
      case "address": address = try section.path(key)
      case "uid": uid = UInt32(try section.integer(key, 0...Int(Int32.max)))
      case "gid": gid = UInt32(try section.integer(key, 0...Int(Int32.max)))
      case "max_recv_message_size": maximumMessageSize = try section.integer(key, 64 << 10...1 << 30)
      case "max_send_message_size", "tcp_address", "tcp_tls_ca", "tcp_tls_cert", "tcp_tls_key", "tcp_tls_common_name": ignore(section, key)
      default: throw unknown(section, key)
      }
    }
  }

  /// Shims tell their events at the gRPC address with `.ttrpc` behind it, which is containerd's default too.
  private mutating func readTTRPC(_ section: Section) throws(ContainerdError) {
    for key in section.keys {
      switch key {
      case "address":
        let given = try section.text(key)
        if !given.isEmpty { warnings.append("\(section.name(key)) changes nothing: the events socket is the gRPC address with .ttrpc behind it") }
      case "uid", "gid", "max_recv_message_size", "max_send_message_size": ignore(section, key)
      default: throw unknown(section, key)
      }
    }
  }

  private mutating func readDebug(_ section: Section) throws(ContainerdError) {
    for key in section.keys {
      switch key {
      case "level": level = try section.choice(key, ["trace", "debug", "info", "warn", "error", "fatal", "panic", ""])
      case "format": format = try section.choice(key, ["text", "json", ""])
      case "address", "uid", "gid": ignore(section, key)
      default: throw unknown(section, key)
      }
    }
    if level.isEmpty { level = "info" }
    if format.isEmpty { format = "text" }
  }

  private mutating func readTimeouts(_ section: Section) throws(ContainerdError) {
    for key in section.keys {
      switch key {
      case "io.containerd.timeout.shim.cleanup": timeouts.cleanup = try section.duration(key)
      case "io.containerd.timeout.shim.load": timeouts.load = try section.duration(key)
      case "io.containerd.timeout.shim.shutdown": timeouts.shutdown = try section.duration(key)
      case "io.containerd.timeout.task.state": timeouts.state = try section.duration(key)
      case _ where key.hasPrefix("io.containerd.timeout."): ignore(section, key)
      default: throw unknown(section, key)
      }
    }
  }

  private mutating func readPlugins(_ plugins: Section) throws(ContainerdError) {
    for name in plugins.keys {
      let section = try plugins.section(name)
      switch name {
      case "io.containerd.gc.v1.scheduler":
        for key in section.keys {
          switch key {
          case "schedule_delay": collection.scheduleDelay = try section.duration(key)
          case "startup_delay": collection.startupDelay = try section.duration(key)
          case "pause_threshold", "deletion_threshold", "mutation_threshold": ignore(section, key)
          default: throw unknown(section, key)
          }
        }
      case "io.containerd.metadata.v1.bolt", "io.containerd.metadata.v1.sqlite":
        for key in section.keys {
          switch key {
          case "content_sharing_policy":
            if try section.choice(key, ["shared", "isolated"]) == "isolated" {
              throw ContainerdError.notImplemented("\(section.name(key)): \"isolated\"; namespaces share content here")
            }
          case "no_sync": ignore(section, key)
          default: throw unknown(section, key)
          }
        }
      case "io.containerd.snapshotter.v1.overlayfs":
        for key in section.keys {
          switch key {
          case "root_path":
            let given = try section.text(key)
            overlayRoot = given.isEmpty ? nil : try section.path(key)
          case "upperdir_label", "sync_remove", "slow_chown", "mount_options": ignore(section, key)
          default: throw unknown(section, key)
          }
        }
      case _ where name.hasPrefix("io.containerd."): ignore(plugins, name)
      default: throw unknown(plugins, name)
      }
    }
  }

  private mutating func readProxy(_ name: String, _ section: Section, in proxies: Section) throws(ContainerdError) {
    var plugin = ProxySnapshotter(address: "")
    guard section.keys.contains("type") else { throw section.wrong("type", "is missing") }
    // Of plugins of other kinds not even the fields are known here.
    guard ["snapshot", "io.containerd.snapshotter.v1"].contains(try section.text("type")) else { return ignore(proxies, name) }
    do throws(ContainerdError) { try Identifiers.validate(name, kind: "snapshotter") } catch { throw proxies.wrong(name, error.message) }
    if Self.ownSnapshotters.contains(name) { throw proxies.wrong(name, "the daemon has a snapshotter of its own with this name") }
    for key in section.keys {
      switch key {
      case "type": break
      case "address":
        let given = try section.text(key)
        plugin.address = given.hasPrefix("unix://") ? String(given.dropFirst("unix://".count)) : given
        // Longer ones do not fit a socket's address on Linux.
        guard plugin.address.hasPrefix("/"), plugin.address.utf8.count <= 107 else {
          throw section.wrong(key, "must be an absolute path of at most 107 bytes, not \"\(given)\"")
        }
      case "capabilities": plugin.capabilities = try section.texts(key)
      case "exports":
        let exports = try section.section(key)
        for export in exports.keys { plugin.exports[export] = try exports.text(export) }
      case "platform": ignore(section, key)
      default: throw unknown(section, key)
      }
    }
    if plugin.address.isEmpty { throw section.wrong("address", "is missing") }
    proxySnapshotters[name] = plugin
  }

  private static let ownSnapshotters: Set<String> = ["overlayfs"]

  private mutating func ignore(_ section: Section, _ key: String) {
    warnings.append("\(section.name(key)) changes nothing here")
  }

  private func unknown(_ section: Section, _ key: String) -> ContainerdError { .invalidArgument("unknown field \(section.name(key))") }
}
