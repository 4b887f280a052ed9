import ConformanceSuites
import ContainerdAPI
import GRPCCore
import SwiftProtobuf

/// The snapshots service at a socket, asked without a client of ours in between.
public struct WireSnapshotterSubject: Sendable {
  package typealias API = Containerd_Services_Snapshots_V1_Snapshots.Client<WireConnection.Transport>

  public var socket: String
  /// The name that requests carry.
  public var snapshotter: String
  public var namespace: String
  public var lease: String?
  /// Stand between the case and the socket: where faults are put.
  public var interceptors: [any ClientInterceptor] = []

  public init(socket: String, snapshotter: String, namespace: String, lease: String? = nil) {
    self.socket = socket
    self.snapshotter = snapshotter
    self.namespace = namespace
    self.lease = lease
  }

  package var headers: Metadata {
    var headers: Metadata = ["containerd-namespace": "\(namespace)"]
    if let lease { headers.addString(lease, forKey: "containerd-lease") }
    return headers
  }

  package func connected<Value: Sendable>(authority: String = "localhost", _ body: @Sendable (API) async throws -> Value) async throws -> Value {
    try await WireConnection.with(socket: socket, authority: authority, interceptors: interceptors) { connection in
      try await body(API(wrapping: connection.client))
    }
  }

  @discardableResult
  package func prepare(_ api: API, _ key: String, _ parent: String = "", labels: [String: String] = [:]) async throws -> [Containerd_Types_Mount] {
    try await api.prepare(
      .with {
        $0.snapshotter = snapshotter
        $0.key = key
        $0.parent = parent
        $0.labels = labels
      }, metadata: headers
    ).mounts
  }

  package func commit(_ api: API, _ name: String, _ key: String) async throws {
    _ = try await api.commit(
      .with {
        $0.snapshotter = snapshotter
        $0.name = name
        $0.key = key
      }, metadata: headers)
  }

  package func remove(_ api: API, _ key: String) async throws {
    _ = try await api.remove(
      .with {
        $0.snapshotter = snapshotter
        $0.key = key
      }, metadata: headers)
  }

  package func stat(_ api: API, _ key: String) async throws -> Containerd_Services_Snapshots_V1_Info {
    try await api.stat(
      .with {
        $0.snapshotter = snapshotter
        $0.key = key
      }, metadata: headers
    ).info
  }

  package func usage(_ api: API, _ key: String) async throws {
    _ = try await api.usage(
      .with {
        $0.snapshotter = snapshotter
        $0.key = key
      }, metadata: headers)
  }

  /// The messages of a listing.
  package func list(_ api: API, _ filters: [String] = []) async throws -> [Containerd_Services_Snapshots_V1_ListSnapshotsResponse] {
    try await api.list(
      .with {
        $0.snapshotter = snapshotter
        $0.filters = filters
      }, metadata: headers
    ) { response in
      var messages: [Containerd_Services_Snapshots_V1_ListSnapshotsResponse] = []
      for try await message in response.messages { messages.append(message) }
      return messages
    }
  }

  package func names(_ api: API, _ filters: [String] = []) async throws -> [String] {
    try await list(api, filters).flatMap { $0.info.map(\.name) }.sorted()
  }
}

extension Capability {
  /// A whole daemon: it knows namespaces, and several snapshotters by name.
  public static let namespaces = Capability("namespaces")
}

/// The call must end with one of the statuses; what its message says.
@discardableResult
func expectStatus(_ codes: RPCError.Code..., from what: String, _ body: () async throws -> Void) async throws -> String {
  let wanted = codes.map(\.description).joined(separator: " or ")
  do { try await body() } catch let error as RPCError {
    if codes.contains(error.code) { return error.message }
    throw Mismatch(
      description: "\(what): expected the status \(wanted), got \(error.code): \(error.message)", expected: "\(what): the status \(wanted)",
      actual: "\(error.code): \(error.message)")
  }
  throw Mismatch(description: "\(what): expected the status \(wanted), but it succeeded", expected: "\(what): the status \(wanted)", actual: "OK")
}
