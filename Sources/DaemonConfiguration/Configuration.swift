import Foundation
import Protocols
import TOMLKit

/// What the daemon is told, in containerd's own field names where they mean the same.
public struct Configuration: Hashable, Sendable {
  public static let defaultPath = "/etc/containerd-ref/config.toml"

  /// What must survive a reboot: content, snapshots, metadata.
  public var root = "/var/lib/containerd-ref"
  /// What need not: sockets, bundles of running containers.
  public var state = "/run/containerd-ref"
  /// How willing the kernel should be to kill the daemon when memory is short, -1000 to 1000; 0 leaves it as it is.
  public var oomScore = 0

  /// Empty: `containerd.sock` in the state directory.
  public var address = ""
  /// Who owns the socket; nil is the daemon's own user.
  public var uid: UInt32?
  public var gid: UInt32?
  /// Bytes of one message from a client.
  public var maximumMessageSize = 16 << 20

  /// `trace`, `debug`, `info`, `warn`, `error`.
  public var level = "info"
  /// `text` or `json`.
  public var format = "text"

  public var timeouts = Timeouts()
  public var collection = Collection()
  /// Where the overlay snapshotter keeps its things; nil is its place below the root directory.
  public var overlayRoot: String?
  /// Runtime name → shim, a path or a program's name.
  public var runtimes: [String: String] = [:]

  /// Snapshotters that other processes serve, by the names under which clients find them.
  public var proxySnapshotters: [String: ProxySnapshotter] = [:]

  /// What was read and changes nothing, in sentences.
  public var warnings: [String] = []

  /// How long the daemon waits for a shim.
  public struct Timeouts: Hashable, Sendable {
    /// For it to clean up after itself.
    public var cleanup = Duration.seconds(30)
    /// For it to answer when the daemon comes back.
    public var load = Duration.seconds(5)
    /// For it to acknowledge that it shall end.
    public var shutdown = Duration.seconds(3)
    /// For the state of a process.
    public var state = Duration.seconds(2)
  }

  /// When garbage is collected.
  public struct Collection: Hashable, Sendable {
    /// After the daemon's start.
    public var startupDelay = Duration.milliseconds(100)
    /// After something was let go.
    public var scheduleDelay = Duration.milliseconds(50)
  }

  /// A snapshotter at the other end of a socket.
  public struct ProxySnapshotter: Hashable, Sendable {
    /// The path of the socket.
    public var address: String
    /// Both are passed on to who asks for the daemon's plugins.
    public var capabilities: [String] = []
    public var exports: [String: String] = [:]
    public init(address: String, capabilities: [String] = [], exports: [String: String] = [:]) {
      self.address = address
      self.capabilities = capabilities
      self.exports = exports
    }
  }

  public init() {}

  public var socket: String { address.isEmpty ? "\(state)/containerd.sock" : address }

  /// Reads a file; `invalidArgument` names the file and the field. Without a path the default file is read if it is there.
  public init(path: String?) throws(ContainerdError) {
    let file = path ?? Self.defaultPath
    guard FileManager.default.fileExists(atPath: file) else {
      if path != nil { throw ContainerdError.notFound("configuration \(file)") }
      self.init()
      return
    }
    let text: String
    do { text = try String(contentsOfFile: file, encoding: .utf8) } catch {
      throw ContainerdError.unavailable("configuration \(file) cannot be read: \(error.localizedDescription)")
    }
    do throws(ContainerdError) { try self.init(toml: text) } catch {
      throw ContainerdError(error.code, "configuration \(file): \(error.message)")
    }
  }

  /// Reads a document. `invalidArgument` names the field, or the line that is no TOML.
  public init(toml text: String) throws(ContainerdError) {
    let table: TOMLTable
    do { table = try TOMLTable(string: text) } catch let error as TOMLParseError {
      throw ContainerdError.invalidArgument("line \(error.source.begin.line): \(error.description)")
    } catch { throw ContainerdError.invalidArgument("\(error)") }
    self.init()
    try read(Section(table))
  }
}
