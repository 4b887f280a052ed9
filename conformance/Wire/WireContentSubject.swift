import ConformanceSuites
import ContainerdAPI
import GRPCCore
import Protocols
import SwiftProtobuf

/// The content service at a socket, listed without a client of ours in between.
public struct WireContentSubject: Sendable {
  package typealias API = Containerd_Services_Content_V1_Content.Client<WireConnection.Transport>

  public var socket: String
  public var namespace: String
  /// The same store, by which blobs and ingests are made.
  public var content: ContentSubject
  /// Stand between the listings and the socket: where faults are put.
  public var interceptors: [any ClientInterceptor] = []

  public init(socket: String, namespace: String, content: ContentSubject) {
    self.socket = socket
    self.namespace = namespace
    self.content = content
  }

  private var headers: Metadata { ["containerd-namespace": "\(namespace)"] }

  private func connected<Value: Sendable>(_ body: @Sendable (API) async throws -> Value) async throws -> Value {
    try await WireConnection.with(socket: socket, interceptors: interceptors) { connection in try await body(API(wrapping: connection.client)) }
  }

  /// The digests that the server lists, sorted.
  package func digests(_ filters: [String]) async throws -> [String] {
    try await connected { api in
      try await api.list(.with { $0.filters = filters }, metadata: headers) { response in
        var digests: [String] = []
        for try await message in response.messages { digests += message.info.map(\.digest) }
        return digests.sorted()
      }
    }
  }

  /// The refs of the ingests that the server lists, sorted.
  package func refs(_ filters: [String]) async throws -> [String] {
    try await connected { api in try await api.listStatuses(.with { $0.filters = filters }, metadata: headers).statuses.map(\.ref).sorted() }
  }
}
