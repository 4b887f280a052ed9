import CLinux
import ConformanceKit
import ConformanceSuites
import ConformanceWireSuites
import ContainerdAPI
import ContainerdClient
import GRPCCore
import Hashing
import Protocols
import SwiftProtobuf
import SystemKit
import TestSupport

extension Target {
  /// A snapshotter at the other end of a socket.
  ///
  /// With a name it is one of a whole containerd's, and each case has a namespace of its own. Without, it is a bare proxy plugin with a single
  /// store: that must be empty, belongs to one case at a time, and is emptied around each.
  static func snapshotter(_ address: String, socket: String, name: String?, mayEmpty: Bool) -> Target {
    var target = Target(address: address, capabilities: geteuid() == 0 ? [.files] : [])
    target[SnapshotSubject.self] = { workspace in
      let namespace = name == nil ? "conformance" : Namespaces.fresh(in: workspace)
      var client = try await Connection.open(socket: socket, namespace: namespace, in: workspace)
      if name != nil { client = try await Namespaces.lease(client, namespace, socket: socket, in: workspace) }
      let snapshotter = client.snapshotter(name ?? "conformance")
      if name == nil {
        try await SharedStore(snapshotter: snapshotter, socket: socket).claim(mayEmpty: mayEmpty, in: workspace)
      } else {
        try await require(snapshotter, address, socket)
        workspace.endings.add { try await empty(snapshotter) }
      }
      let tool = ["ctr", "--address", socket, "-n", namespace, "snapshots", "--snapshotter", name ?? "conformance"]
      let answers = Answers()
      let trees = RecordingTrees(base: MountingTrees(mountPoint: workspace.directory + "/mnt"), record: workspace.record, answers: answers)
      return SnapshotSubject(
        snapshotter: RecordingSnapshotter(
          base: snapshotter, record: workspace.record, tool: tool, name: name ?? "conformance", answers: answers), trees: geteuid() == 0 ? trees : nil)
    }
    if let name {
      target.capabilities.insert(.namespaces)
      target.sweep = { try await Namespaces.sweep($0, socket: socket, snapshotter: name) }
    }
    target[WireSnapshotterSubject.self] = { workspace in
      if let name {
        let namespace = Namespaces.fresh(in: workspace)
        let client = try await Connection.open(socket: socket, namespace: namespace, in: workspace)
        let held = try await Namespaces.lease(client, namespace, socket: socket, in: workspace)
        workspace.endings.add { try await empty(held.snapshotter(name)) }
        return WireSnapshotterSubject(socket: socket, snapshotter: name, namespace: namespace, lease: held.scope.lease).recorded(in: workspace)
      }
      let client = try await Connection.open(socket: socket, namespace: "conformance", in: workspace)
      try await SharedStore(snapshotter: client.snapshotter("conformance"), socket: socket).claim(mayEmpty: mayEmpty, in: workspace)
      return WireSnapshotterSubject(socket: socket, snapshotter: "conformance", namespace: "conformance").recorded(in: workspace)
    }
    return target
  }

  /// A wrong name is the caller's mistake, not the backend's.
  private static func require(_ snapshotter: any Snapshotter, _ address: String, _ socket: String) async throws {
    do { try await inTime("List", seconds: 10) { try await snapshotter.walk(.all) { _ in } } } catch {
      try await Connection.requireListener(socket)
      throw SuiteError("\(Worker.backendIsUseless)\(address) does not list its snapshots: \(error)")
    }
  }
}

/// Removes every snapshot, children first.
func empty(_ snapshotter: any Snapshotter) async throws {
  var removed: Set<String> = []
  // Each round takes a layer off every chain; no case makes longer ones.
  for _ in 0..<1000 {
    let left = Gathering<SnapshotInfo>()
    try await snapshotter.walk(.all) { await left.append($0) }
    let infos = await left.items
    if infos.isEmpty { return }
    let parents = Set(infos.compactMap(\.parent))
    let leaves = infos.filter { !parents.contains($0.name) }
    if leaves.isEmpty { throw SuiteError("the snapshots left over cannot be removed: each is listed as the parent of another: \(infos.map(\.name))") }
    if let stays = leaves.first(where: { removed.contains($0.name) }) {
      throw SuiteError("the snapshot \(stays.name.debugDescription) that the case left is still listed after its removal succeeded")
    }
    for info in leaves {
      removed.insert(info.name)
      do { try await snapshotter.remove(info.name) } catch let error as ContainerdError where error.code == .notFound {
        // Collected meanwhile.
      } catch let error as ContainerdError {
        throw SuiteError("the snapshot \(info.name) that the case left cannot be removed: \(error)")
      }
    }
  }
  throw SuiteError("the snapshots left over cannot be removed: after a thousand rounds of removals, each of which succeeded, some are listed still")
}

actor Gathering<Item: Sendable> {
  private(set) var items: [Item] = []
  func append(_ item: Item) { items.append(item) }
}

/// The single store of a proxy plugin. A file in /tmp (TMPDIR may be a case's own) says that the suite is at work in it: whoever finds the file unlocked knows
/// that what is in the store is a leftover of the suite, and nobody's data.
struct SharedStore {
  let snapshotter: any Snapshotter
  let socket: String

  func claim(mayEmpty: Bool, in workspace: Workspace) async throws {
    let path = "/tmp/containerd-conformance-\(Digest.of(Array(socket.utf8)).hex.prefix(16)).in-use"
    let lock = try await StoreLock.take(path)
    // The same server as when the file was written, or the same run: a backend that died and was started anew has another socket at the same place.
    let claim = ["inode \(try Files.status(socket).st_ino)", "run \(workspace.mark.split(separator: "-").prefix(2).joined(separator: "-"))"]
    let ours = String(decoding: try Files.read(path), as: UTF8.self).split(separator: "\n").contains { claim.contains(String($0)) }
    let found = Gathering<String>()
    do { try await inTime("List", seconds: 10) { try await snapshotter.walk(.all) { await found.append($0.name) } } } catch {
      try await Connection.requireListener(socket)
      throw SuiteError(
        "\(Worker.backendIsUseless)\(socket) does not list its snapshots: \(error). "
          + "For a snapshotter of a whole containerd name it: snapshotter+grpc://\(socket)?name=NAME")
    }
    let keys = await found.items
    if !keys.isEmpty, !ours, !mayEmpty {
      throw SuiteError(
        "\(socket) holds \(keys.count) snapshots already (\(keys.sorted().prefix(3).joined(separator: ", ")), …), and the suite would remove them: "
          + "give it an empty store, or say that it may: snapshotter+grpc://\(socket)?empty=yes")
    }
    try lock.write(Array(claim.joined(separator: "\n").utf8), path: path)
    try await empty(snapshotter)
    workspace.endings.add {
      try await empty(snapshotter)
      unlink(path)
      lock.release()
    }
  }
}

/// An advisory lock on a file. Another case of the same run may hold it: one at a time.
private final class StoreLock: Sendable {
  private let descriptor: Int32
  private init(_ file: consuming OwnedFD) { descriptor = file.release() }

  static func take(_ path: String) async throws -> StoreLock {
    while true {
      let lock = StoreLock(try Files.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode: 0o600))
      // Whoever held it before may have removed the file meanwhile: then the lock is on nothing.
      var held = stat()
      var there = stat()
      if flock(lock.descriptor, LOCK_EX | LOCK_NB) == 0, fstat(lock.descriptor, &held) == 0, stat(path, &there) == 0, held.st_ino == there.st_ino {
        return lock
      }
      lock.release()
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  func write(_ bytes: [UInt8], path: String) throws {
    try check("ftruncate", path) { ftruncate(descriptor, 0) }
    let count = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    if count != bytes.count { throw SystemError.last("write", path) }
  }
  func release() { close(descriptor) }
}

/// Namespaces that only the suite uses.
enum Namespaces {
  static func fresh(in workspace: Workspace) -> String { "\(workspace.mark)-\(UInt32.random(in: 0...UInt32.max))" }

  /// A containerd collects whatever nobody refers to, so that a case's snapshots would vanish under it: everything is made under a lease.
  /// Lease and namespace are removed when the case is over.
  static func lease(_ client: ContainerdClient, _ namespace: String, socket: String, in workspace: Workspace) async throws -> ContainerdClient {
    let id = "conformance"
    let metadata: Metadata = ["containerd-namespace": "\(namespace)"]
    try await WireConnection.with(socket: socket) { connection in
      let leases = Containerd_Services_Leases_V1_Leases.Client(wrapping: connection.client)
      do { _ = try await leases.create(.with { $0.id = id }, metadata: metadata) } catch let error as RPCError {
        throw SuiteError("\(socket): no lease can be made in the namespace \(namespace): \(error)")
      }
    }
    workspace.endings.add {
      try await WireConnection.with(socket: socket) { connection in
        let leases = Containerd_Services_Leases_V1_Leases.Client(wrapping: connection.client)
        _ = try await leases.delete(.with { $0.id = id }, metadata: metadata)
      }
      try await remove(namespace, socket: socket)
    }
    return client.holding(lease: id)
  }

  /// Removes the namespaces of workers that were killed, with all that is in them.
  static func sweep(_ mark: String, socket: String, snapshotter: String) async throws {
    try await Connection.requireListener(socket)
    let wire = try WireConnection(socket: socket)
    defer { wire.close() }
    let namespaces = Containerd_Services_Namespaces_V1_Namespaces.Client(wrapping: wire.client)
    for name in try await namespaces.list(.init()).namespaces.map(\.name) where name.hasPrefix(mark + "-") {
      try await ContainerdClient.with(socket: socket, namespace: name) { client in
        try await DaemonLeftovers(client: client, wire: wire, namespace: name, snapshotter: snapshotter).remove()
      }
      try await remove(name, socket: socket)
    }
  }

  /// Removes what is left of a namespace. One that no longer holds anything may be gone already.
  static func remove(_ name: String, socket: String) async throws {
    let connection = try WireConnection(socket: socket)
    defer { connection.close() }
    let namespaces = Containerd_Services_Namespaces_V1_Namespaces.Client(wrapping: connection.client)
    do { _ = try await namespaces.delete(.with { $0.name = name }) } catch let error as RPCError where error.code == .notFound {}
  }
}
