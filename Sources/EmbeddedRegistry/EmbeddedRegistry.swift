import BlockingIO
import HTTPListening
import NIOCore
import NIOHTTP1
import Protocols
import SystemKit

/// A registry in this process, on loopback: real enough to push to with skopeo and to pull from with anything, and able to misbehave
/// on demand (`faults`) while it writes down what was asked of it (`log`).
///
///     try await EmbeddedRegistry.with(.init(root: directory)) { registry in
///       … push to or pull from registry.address …
///     }
public final class EmbeddedRegistry: Sendable {
  public struct Configuration: Sendable {
    public var root: String
    /// `127.0.0.1`, another loopback address, or `localhost`.
    public var host: String
    /// 0 for any that is free.
    public var port: Int
    public var authentication: RegistryAuthentication
    /// Most bytes per second of one answer; nil for as fast as it goes.
    public var bytesPerSecond: Int64?
    /// Larger manifests are refused with 413. The distribution-spec asks for at least 4 MiB.
    public var maximumManifestSize: Int
    /// Most referrers in one answer; nil for all of them.
    public var referrersPerPage: Int?
    /// How many requests the access log keeps.
    public var logLimit: Int
    /// Called when an answer has left, or has failed to.
    public var onRequest: @Sendable (AccessRecord) -> Void

    public init(
      root: String, host: String = "127.0.0.1", port: Int = 0, authentication: RegistryAuthentication = .none, bytesPerSecond: Int64? = nil,
      maximumManifestSize: Int = 4 << 20, referrersPerPage: Int? = nil, logLimit: Int = 10_000, onRequest: @escaping @Sendable (AccessRecord) -> Void = { _ in }
    ) {
      self.root = root
      self.host = host
      self.port = port
      self.authentication = authentication
      self.bytesPerSecond = bytesPerSecond
      self.maximumManifestSize = maximumManifestSize
      self.referrersPerPage = referrersPerPage
      self.logLimit = logLimit
      self.onRequest = onRequest
    }
  }

  /// `127.0.0.1:5000`, as it stands in an image's name.
  public let address: String
  public let log: AccessLog
  public let faults: RegistryFaults
  let service: RegistryService
  private let listener: HTTPListener

  public var origin: String { "http://\(address)" }

  /// Opens the directory and listens; requests are answered while `run` runs.
  public init(_ configuration: Configuration) async throws {
    let storage: RegistryStorage
    let pool = BlockingPool(label: "registry", width: 8)
    do { storage = try await pool.run { try RegistryStorage(root: configuration.root) } } catch {
      throw ContainerdError(.unavailable, "registry directory \(configuration.root): \(error)")
    }
    let wanted = "\(configuration.host):\(configuration.port)"
    let listener: HTTPListener
    do {
      let address = try await pool.run { try SocketAddress.makeAddressResolvingHost(configuration.host, port: configuration.port) }
      guard Self.isLoopback(address) else {
        throw ContainerdError.invalidArgument("registry on \(wanted): it has no TLS and belongs on a loopback address")
      }
      listener = try await HTTPListener(at: address, backlog: 256)
    } catch let error as ContainerdError { throw error } catch {
      throw ContainerdError.unavailable("registry cannot listen on \(wanted): \(error)")
    }
    guard let port = listener.port else { throw ContainerdError.internalError("registry on \(wanted): no port") }
    self.listener = listener
    address = configuration.host.contains(":") ? "[\(configuration.host)]:\(port)" : "\(configuration.host):\(port)"
    log = AccessLog(limit: configuration.logLimit)
    faults = RegistryFaults()
    service = RegistryService(
      configuration: configuration, origin: "http://\(address)", storage: storage, pool: pool, gatekeeper: Gatekeeper(configuration.authentication))
  }

  /// Serves until the task is cancelled; then connections are closed. Call it once.
  public func run() async throws {
    let (service, log, faults) = (service, log, faults)
    try await listener.run { channel, number in
      await Connection(number: number, channel: channel, service: service, log: log, faults: faults).serve()
    }
  }

  /// A registry for the time of a call.
  public static func with<Value: Sendable>(
    _ configuration: Configuration, _ body: @Sendable (EmbeddedRegistry) async throws -> Value
  ) async throws -> Value {
    let registry = try await EmbeddedRegistry(configuration)
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await registry.run() }
      let result: Result<Value, any Error>
      do { result = .success(try await body(registry)) } catch { result = .failure(error) }
      group.cancelAll()
      while let ended = await group.nextResult() {
        if case .failure(let error) = ended, !(error is CancellationError) { throw error }
      }
      return try result.get()
    }
  }

  private static func isLoopback(_ address: SocketAddress) -> Bool {
    guard let text = address.ipAddress else { return false }
    return text.hasPrefix("127.") || text == "::1"
  }
}

// MARK: what is put there without a push

extension EmbeddedRegistry {
  /// Puts a blob there, unasked and unchecked.
  public func add(blob bytes: [UInt8], to repository: String) async throws -> Digest {
    let service = service
    return try await service.pool.run { try service.storage.addBlob(repository, bytes) }
  }

  /// Puts a manifest there as it is, broken or not, whatever it refers to.
  public func add(manifest bytes: [UInt8], mediaType: String, to repository: String, tag: String? = nil) async throws -> Digest {
    let service = service
    return try await service.pool.run { try service.storage.addManifest(repository, bytes, mediaType: mediaType, tag: tag) }
  }

  /// Every token that was handed out is worth nothing from now on.
  public func revokeTokens() { service.gatekeeper.revokeTokens() }

  /// Tokens that are handed out from now on live so long, and are good for so many requests.
  public func limitTokens(lifetime: Duration = .seconds(300), uses: Int? = nil) { service.gatekeeper.limitTokens(lifetime: lifetime, uses: uses) }
}
