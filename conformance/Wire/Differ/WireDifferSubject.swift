import ConformanceSuites
import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf
import WireMapping

/// The diff service at a socket, asked without a client of ours in between.
public struct WireDifferSubject: Sendable {
  package typealias API = Containerd_Services_Diff_V1_Diff.Client<WireConnection.Transport>

  public var socket: String
  public var namespace: String
  public var lease: String
  /// Content and a snapshotter of the same daemon, and its differ through a client of ours, in the same namespace and under the same lease.
  public var layers: LayerSubject
  /// Stand between the case and the socket: where faults are put.
  public var interceptors: [any ClientInterceptor] = []

  public init(socket: String, namespace: String, lease: String, layers: LayerSubject) {
    self.socket = socket
    self.namespace = namespace
    self.lease = lease
    self.layers = layers
  }

  package var headers: Metadata { headers(in: namespace) }
  package func headers(in namespace: String) -> Metadata { ["containerd-namespace": "\(namespace)", "containerd-lease": "\(lease)"] }

  package func connected<Value: Sendable>(_ body: @Sendable (API, WireConnection) async throws -> Value) async throws -> Value {
    try await WireConnection.with(socket: socket, interceptors: interceptors) { connection in try await body(API(wrapping: connection.client), connection) }
  }

  /// - Parameter headers: the subject's own, unless a case wants others.
  @discardableResult
  package func apply(_ api: API, _ layer: Descriptor, to mounts: [Mount], headers: Metadata? = nil) async throws -> Containerd_Types_Descriptor {
    try await api.apply(
      .with {
        $0.diff = layer.wire
        $0.mounts = mounts.map(\.wire)
      }, metadata: headers ?? self.headers
    ).applied
  }

  @discardableResult
  package func diff(
    _ api: API, _ trees: Trees, mediaType: String = "", ref: String = "", labels: Labels = [:], headers: Metadata? = nil
  ) async throws -> Containerd_Types_Descriptor {
    try await api.diff(
      .with {
        $0.left = trees.lower.map(\.wire)
        $0.right = trees.upper.map(\.wire)
        $0.mediaType = mediaType
        $0.ref = ref
        $0.labels = labels
      }, metadata: headers ?? self.headers
    ).diff
  }

  /// What two trees are mounted from.
  package struct Trees: Sendable {
    package var lower: [Mount]
    package var upper: [Mount]
  }

  /// A tree and what was made of it, without deletions.
  package func pair() async throws -> Trees {
    let making = try await layers.tree("making")
    if layers.trees != nil {
      try await layers.enter(making) { tree in
        try tree.makeDirectory("dir")
        try tree.write("dir/kept", bytes("kept"))
      }
    }
    try await layers.snapshotter.commit("lower", key: "making", labels: [:])
    let upper = try await layers.tree("upper", on: "lower")
    if layers.trees != nil { try await layers.enter(upper) { try $0.write("dir/new", bytes("new")) } }
    return Trees(lower: try await layers.snapshotter.view("lower view", parent: "lower", labels: [:]), upper: upper)
  }

  package func read(_ blob: Digest) async throws -> [UInt8] {
    let reader = try await layers.content.reader(blob)
    do {
      let bytes = try await reader.read(at: 0, count: Int(reader.size))
      await reader.close()
      return bytes
    } catch {
      await reader.close()
      throw error
    }
  }
}
