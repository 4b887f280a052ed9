import Hashing
import NIOCore
import NIOHTTP1
import NIOPosix
import Protocols
import Synchronization

/// A registry on loopback that answers as a case scripts it, and remembers what it was asked.
///
/// What the script leaves open is answered as the OCI distribution specification has it.
public final class FaultyRegistry: Sendable {
  /// nil leaves the answer to the registry's own manners.
  public typealias Script = @Sendable (RegistryRequest, FaultyRegistry) -> RegistryReply?

  private struct State {
    var blobs: [String: [UInt8]] = [:]
    var manifests: [String: (bytes: [UInt8], type: String)] = [:]
    var script: Script?
    var requests: [RegistryRequest] = []
    var inFlight = 0
    var mostInFlight = 0
    var channel: (any Channel)?
    var connections: [ObjectIdentifier: any Channel] = [:]
  }
  private let state = Mutex(State())

  private init() {}

  /// Serves for the time of the body.
  public static func with<Value: Sendable>(_ body: @Sendable (FaultyRegistry) async throws -> Value) async throws -> Value {
    let registry = FaultyRegistry()
    let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        registry.opened(channel)
        return channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandlers(ByteToMessageHandler(HTTPRequestDecoder()), RegistryConnection(registry: registry))
        }
      }
    let channel = try await bootstrap.bind(host: "127.0.0.1", port: 0).get()
    registry.state.withLock { $0.channel = channel }
    let result: Result<Value, any Error>
    do { result = .success(try await body(registry)) } catch { result = .failure(error) }
    // What is still open is of no use to anybody.
    try? await channel.close().get()
    for connection in registry.state.withLock({ Array($0.connections.values) }) { connection.close(promise: nil) }
    return try result.get()
  }

  public var port: Int { state.withLock { $0.channel?.localAddress?.port ?? 0 } }
  /// Host and port, as an image's name has them.
  public var host: String { "127.0.0.1:\(port)" }
  /// The same place under another name.
  public var otherName: String { "localhost:\(port)" }

  public func script(_ script: @escaping Script) { state.withLock { $0.script = script } }
  public var requests: [RegistryRequest] { state.withLock { $0.requests } }
  /// The most blobs that were on their way at once.
  public var mostInFlight: Int { state.withLock { $0.mostInFlight } }

  @discardableResult
  public func add(blob bytes: [UInt8]) -> Digest {
    let digest = Digest.of(bytes)
    state.withLock { $0.blobs["\(digest)"] = bytes }
    return digest
  }

  /// A manifest, by digest and by the tags.
  @discardableResult
  public func add(manifest bytes: [UInt8], type: String, tags: String...) -> Digest {
    let digest = Digest.of(bytes)
    state.withLock { state in for name in tags + ["\(digest)"] { state.manifests[name] = (bytes, type) } }
    return digest
  }

  public func manifest(_ name: String) -> (bytes: [UInt8], type: String)? { state.withLock { $0.manifests[name] } }

  /// What a well-mannered registry answers.
  public func usual(_ request: RegistryRequest) -> RegistryReply {
    switch request.kind {
    case .ping: return RegistryReply(200, [("Docker-Distribution-Api-Version", "registry/2.0"), ("Content-Type", "application/json")], Array("{}".utf8))
    case .manifest(let name):
      guard let manifest = manifest(name) else { return .error(404, "MANIFEST_UNKNOWN") }
      return RegistryReply(200, [("Content-Type", manifest.type), ("Docker-Content-Digest", "\(Digest.of(manifest.bytes))")], manifest.bytes)
    case .blob(let digest):
      guard let bytes = state.withLock({ $0.blobs[digest] }) else { return .error(404, "BLOB_UNKNOWN") }
      let headers = [("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", digest), ("Accept-Ranges", "bytes")]
      let start = request.start
      if start == 0 { return RegistryReply(200, headers, bytes) }
      if start >= bytes.count { return RegistryReply(416, [("Content-Range", "bytes */\(bytes.count)")]) }
      return RegistryReply(206, headers + [("Content-Range", "bytes \(start)-\(bytes.count - 1)/\(bytes.count)")], Array(bytes[start...]))
    case .token: return .text(200, "application/json", #"{"token":"the-token","access_token":"the-token","expires_in":300}"#)
    case .other: return .error(404, "UNSUPPORTED")
    }
  }

  func answer(_ head: HTTPRequestHead) -> (RegistryRequest, RegistryReply) {
    var headers: [String: String] = [:]
    for (name, value) in head.headers { headers[name.lowercased()] = headers[name.lowercased()].map { "\($0), \(value)" } ?? value }
    var request = RegistryRequest(method: head.method.rawValue, target: head.uri, headers: headers, kind: Self.kind(of: head.uri), number: 0)
    let script = state.withLock { state in
      request.number = state.requests.count { $0.kind == request.kind && $0.method == request.method } + 1
      state.requests.append(request)
      return state.script
    }
    return (request, script?(request, self) ?? usual(request))
  }

  func blob(_ change: Int) {
    state.withLock { state in
      state.inFlight += change
      state.mostInFlight = max(state.mostInFlight, state.inFlight)
    }
  }

  private func opened(_ channel: any Channel) {
    let id = ObjectIdentifier(channel)
    state.withLock { $0.connections[id] = channel }
    channel.closeFuture.whenComplete { [weak self] _ in self?.state.withLock { _ = $0.connections.removeValue(forKey: id) } }
  }

  private static func kind(of target: String) -> RegistryRequest.Kind {
    let path = target.prefix { $0 != "?" }
    if path == "/v2/" || path == "/v2" { return .ping }
    if path.hasPrefix("/token") { return .token }
    let parts = path.split(separator: "/").map(String.init)
    guard parts.count >= 2 else { return .other }
    switch parts[parts.count - 2] {
    case "manifests": return .manifest(parts[parts.count - 1])
    case "blobs", "elsewhere": return .blob(parts[parts.count - 1])
    default: return .other
    }
  }
}
