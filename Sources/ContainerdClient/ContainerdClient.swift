import ContainerdAPI
import FrameShield
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOCore
import Protocols
import SwiftProtobuf
import WireMapping

/// A connection to a containerd, ours or another, for one namespace.
public struct ContainerdClient: Sendable {
  public typealias Transport = HTTP2ClientTransport.Posix

  let client: GRPCClient<Transport>
  public var scope: Scope

  /// Connects for the time of the body. `unavailable` if nobody listens.
  /// - Parameters:
  ///   - interceptors: see every call on its way, the first of them before the others.
  ///   - lasting: calls wait for a containerd that is away, instead of failing; the caller sets the limit.
  public static func with<Value: Sendable>(
    socket: String, namespace: String, interceptors: [any ClientInterceptor] = [], lasting: Bool = false,
    _ body: @Sendable (ContainerdClient) async throws -> Value
  ) async throws -> Value {
    let client = GRPCClient(transport: try transport(to: socket, lasting: lasting), interceptors: interceptors)
    // In a task of its own: when the body is cancelled, what undoes its work still needs the connection.
    let connections = Task { try await client.runConnections() }
    let result: Result<Value, any Error>
    do { result = .success(try await body(ContainerdClient(client: client, scope: Scope(namespace: namespace)))) } catch { result = .failure(error) }
    client.beginGracefulShutdown()
    connections.cancel()
    _ = await connections.result
    return try result.get()
  }

  /// - Parameter lasting: calls wait for a connection that is being made again, which is tried every half second.
  static func transport(to socket: String, lasting: Bool = false) throws -> Transport {
    try Transport(
      target: .unixDomainSocket(path: socket, authority: "localhost"), transportSecurity: .plaintext,
      config: .defaults { config in
        config.http2.targetWindowSize = 8 << 20
        config.http2.maxFrameSize = 1 << 20
        if lasting { config.backoff = .init(initial: .milliseconds(50), max: .milliseconds(500), multiplier: 1.6, jitter: 0.2) }
        // A grpc-go server pings after nearly every request.
        config.channelDebuggingCallbacks.onCreateTCPConnection = { channel in
          channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(FrameShield(at: .client), position: .first) }
        }
      }, serviceConfig: lasting ? ServiceConfig(methodConfig: [MethodConfig(names: [.init(service: "", method: "")], waitForReady: true)]) : ServiceConfig())
  }

  /// The same connection, with everything that is made held by a lease.
  public func holding(lease: String) -> ContainerdClient {
    ContainerdClient(client: client, scope: Scope(namespace: scope.namespace, lease: lease))
  }

  public var content: any ContentStore { RemoteContentStore(connection: self) }
  public var images: any ImageStore { RemoteImageStore(connection: self) }
  public var containers: any ContainerStore { RemoteContainerStore(connection: self) }
  public var tasks: RemoteTasks { RemoteTasks(connection: self) }
  public func snapshotter(_ name: String) -> any Snapshotter { RemoteSnapshotter(connection: self, name: name) }
  public var applier: any LayerApplier { RemoteApplier(connection: self) }
  public var differ: any LayerDiffer { RemoteDiffer(connection: self) }

  /// Runs the body under a lease of its own: nothing that it makes is collected before somebody refers to it.
  public func leased<Value: Sendable>(_ body: @Sendable (ContainerdClient) async throws -> Value) async throws -> Value {
    let leases = Containerd_Services_Leases_V1_Leases.Client(wrapping: client)
    let expiry = Timestamp.now().advanced(bySeconds: 24 * 3600)
    let request = Containerd_Services_Leases_V1_CreateRequest.with {
      $0.id = "containerd-ref-\(Timestamp.now().nanoseconds)-\(UInt32.random(in: 0...UInt32.max))"
      $0.labels = ["containerd.io/gc.expire": expiry.description]
    }
    let id = try await Self.finishing { try await call { try await leases.create(request, metadata: metadata).lease.id } }
    // In a task of its own: an interrupted body's task is cancelled, and a cancelled task's calls go nowhere.
    func end() async throws { try await Task { _ = try await call { try await leases.delete(.with { $0.id = id }, metadata: metadata) } }.value }
    do {
      let value = try await body(holding(lease: id))
      try await end()
      return value
    } catch {
      // The lease expires by itself if even this fails; the first error is the one to tell.
      try? await end()
      throw error
    }
  }

  /// Runs a call that makes something to its end, also when the caller is interrupted meanwhile: only who knows what was made can take it back.
  public static func finishing<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
    try await Task { try await body() }.value
  }

  var metadata: Metadata {
    var metadata: Metadata = [:]
    // A plugin is in no namespace.
    if !scope.namespace.isEmpty { metadata.addString(scope.namespace, forKey: "containerd-namespace") }
    if let lease = scope.lease { metadata.addString(lease, forKey: "containerd-lease") }
    return metadata
  }

  /// Statuses become our error classes.
  func call<Value>(_ body: () async throws -> Value) async throws -> Value {
    do { return try await body() } catch let error as RPCError { throw ContainerdError(error) }
  }
}

/// Gathers what a stream delivers.
actor Gathered<Item: Sendable> {
  private(set) var items: [Item] = []
  func append(contentsOf more: [Item]) { items.append(contentsOf: more) }
}
