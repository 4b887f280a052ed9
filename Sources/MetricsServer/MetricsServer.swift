import HTTPListening
import NIOCore
import NIOHTTP1
import Protocols
import Synchronization

/// A text over HTTP, made anew for each who asks: `GET /metrics`, in Prometheus' format 0.0.4.
///
/// There is no TLS and nobody is asked who they are: it belongs on a loopback address, or into a network that is trusted.
public struct MetricsServer: Sendable {
  /// `127.0.0.1:9090`: where it listens.
  public let address: String
  private let listener: HTTPListener
  /// Those who are served at a time; others are hung up on.
  private static let most = 32

  /// Listens. `unavailable` if the address cannot be had.
  /// - Parameter address: `HOST:PORT`, where the host is a number; `:PORT` is loopback. Port 0 is any that is free.
  public init(_ address: String) async throws(ContainerdError) {
    let (host, port) = try Self.parse(address)
    do {
      listener = try await HTTPListener(at: try SocketAddress(ipAddress: host, port: port), backlog: 16)
    } catch { throw ContainerdError.unavailable("metrics cannot be served on \(address): \(error)") }
    guard let bound = listener.port else { throw ContainerdError.internalError("metrics on \(address): no port") }
    self.address = host.contains(":") ? "[\(host)]:\(bound)" : "\(host):\(bound)"
  }

  /// `invalidArgument` for what is no address.
  public static func parse(_ address: String) throws(ContainerdError) -> (host: String, port: Int) {
    guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...]) else {
      throw .invalidArgument("\"\(address)\" must be HOST:PORT")
    }
    var host = String(address[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    if host.isEmpty || host == "localhost" { host = "127.0.0.1" }
    guard (try? SocketAddress(ipAddress: host, port: Int(port))) != nil else {
      throw .invalidArgument("\"\(address)\": the host must be an address in numbers, like 127.0.0.1 or [::1]")
    }
    return (host, Int(port))
  }

  /// Answers until the task is cancelled.
  public func run(_ text: @escaping @Sendable () async -> String) async throws {
    let places = Places(Self.most)
    try await listener.run { client, _ in
      if places.take() { await MetricsConnection(channel: client).serve(text) } else { await MetricsConnection(channel: client).hangUp() }
      places.give()
    }
  }

  private final class Places: Sendable {
    private let free: Mutex<Int>
    init(_ count: Int) { free = Mutex(count) }

    /// Whoever takes one gives it back, had or not.
    func take() -> Bool {
      free.withLock { free in
        free -= 1
        return free >= 0
      }
    }
    func give() { free.withLock { $0 += 1 } }
  }
}
