import Foundation
import Protocols
import TOMLKit

/// What the daemon is told, in containerd's own field names where they mean the same (config.toml, version 2).
struct Configuration: Sendable {
  static let defaultPath = "/etc/containerd-ref/config.toml"

  /// What must survive a reboot: content, snapshots, metadata.
  var root = "/var/lib/containerd-ref"
  /// What need not: sockets, bundles of running containers.
  var state = "/run/containerd-ref"
  var address = ""
  var uid: UInt32?
  var gid: UInt32?
  var level = "info"
  /// Runtime name → shim, a path or a program's name.
  var runtimes: [String: String] = [:]

  var socket: String { address.isEmpty ? "\(state)/containerd.sock" : address }

  /// Reads a file; `invalidArgument` names the file and the field. Fields that we do not know are errors: a typing mistake must not pass.
  init(path: String?) throws {
    let file = path ?? Self.defaultPath
    guard FileManager.default.fileExists(atPath: file) else {
      if path != nil { throw ContainerdError.notFound("configuration \(file)") }
      return
    }
    do {
      try read(TOMLTable(string: String(contentsOfFile: file, encoding: .utf8)))
    } catch let error as ContainerdError {
      throw ContainerdError(error.code, "configuration \(file): \(error.message)")
    } catch { throw ContainerdError.invalidArgument("configuration \(file): \(error)") }
  }

  private mutating func read(_ table: TOMLTable) throws {
    for key in table.keys {
      switch key {
      case "version":
        guard let version = table[key]?.int, version == 2 else { throw ContainerdError.invalidArgument("version must be 2") }
      case "root": root = try text(table, key)
      case "state": state = try text(table, key)
      case "grpc":
        let grpc = try section(table, key, allowed: ["address", "uid", "gid"])
        if grpc.contains(key: "address") { address = try text(grpc, "address") }
        uid = grpc["uid"]?.int.map(UInt32.init(clamping:))
        gid = grpc["gid"]?.int.map(UInt32.init(clamping:))
      case "debug":
        let debug = try section(table, key, allowed: ["level"])
        if debug.contains(key: "level") { level = try text(debug, "level") }
      case "runtimes":
        guard let names = table[key]?.table else { throw ContainerdError.invalidArgument("runtimes must be a table") }
        for name in names.keys { runtimes[name] = try text(names, name) }
      default: throw ContainerdError.invalidArgument("unknown field \"\(key)\"")
      }
    }
    for (name, path) in [("root", root), ("state", state)] where !path.hasPrefix("/") {
      throw ContainerdError.invalidArgument("\(name) \"\(path)\" must be an absolute path")
    }
  }

  private func text(_ table: TOMLTable, _ key: String) throws -> String {
    guard let value = table[key]?.string else { throw ContainerdError.invalidArgument("\(key) must be a string") }
    return value
  }

  private func section(_ table: TOMLTable, _ key: String, allowed: Set<String>) throws -> TOMLTable {
    guard let section = table[key]?.table else { throw ContainerdError.invalidArgument("\(key) must be a table") }
    for field in section.keys where !allowed.contains(field) { throw ContainerdError.invalidArgument("unknown field \"\(key).\(field)\"") }
    return section
  }

  /// The configuration as TOML, every field with what it means.
  var toml: String {
    var lines = [
      "version = 2", "", "# What must survive a reboot: content, snapshots, metadata.", "root = \"\(root)\"", "",
      "# What need not: sockets, bundles of running containers.", "state = \"\(state)\"", "", "[grpc]",
      "  # The socket that clients talk to.", "  address = \"\(socket)\"",
    ]
    if let uid { lines.append("  uid = \(uid)") }
    if let gid { lines.append("  gid = \(gid)") }
    lines += [
      "", "[debug]", "  # trace, debug, info, warn or error", "  level = \"\(level)\"", "", "[runtimes]",
      "  # Runtime name = shim: a path, or a program's name.",
    ]
    for (name, path) in runtimes.sorted(by: { $0.key < $1.key }) { lines.append("  \"\(name)\" = \"\(path)\"") }
    return lines.joined(separator: "\n") + "\n"
  }
}
