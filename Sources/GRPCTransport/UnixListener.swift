import GRPCNIOTransportHTTP2Posix
import Glibc
import NIOCore
import NIOPosix
import PingShield

/// A gRPC listener on a unix socket, with a `PingShield` on every connection.
///
/// A lock file beside the socket (`PATH.lock`) belongs to the daemon that listens: a second one is refused instead of quietly
/// stealing the path, and a socket left over by a killed daemon is replaced.
public struct UnixListener: HTTP2ServerTransport.ListenerFactory {
  public let path: String
  public let uid: UInt32?
  public let gid: UInt32?
  public let eventLoopGroup: any EventLoopGroup

  public init(path: String, uid: UInt32? = nil, gid: UInt32? = nil, group: any EventLoopGroup) {
    self.path = path
    self.uid = uid
    self.gid = gid
    self.eventLoopGroup = group
  }

  public func makeListeningChannel(
    listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator, connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
  ) async throws -> NIOAsyncChannel<HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel, Never> {
    let lock = try SocketLock(path: path + ".lock")
    unlink(path)
    let bootstrap = ServerBootstrap(group: eventLoopGroup)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelInitializer { listenerConfigurator.configure(channel: $0) }
    let channel = try await bootstrap.bind(unixDomainSocketPath: path) { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.addHandler(PingShield())
      }.flatMap { connectionConfigurator.configure(channel: channel, tls: .none) }
    }
    // The directory is the daemon's own (0711); the mode decides who may talk to it.
    chmod(path, 0o660)
    if uid != nil || gid != nil, chown(path, uid ?? uid_t.max, gid ?? gid_t.max) != 0 {
      throw SocketError("chown \(path): \(String(cString: strerror(errno)))")
    }
    channel.channel.closeFuture.whenComplete { _ in lock.release() }
    return channel
  }
}

/// An exclusive flock(2), held until released.
final class SocketLock: Sendable {
  private let descriptor: Int32

  init(path: String) throws {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    if descriptor < 0 { throw SocketError("open \(path): \(String(cString: strerror(errno)))") }
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      close(descriptor)
      throw SocketError("\(path) is locked: another daemon listens on this socket")
    }
    self.descriptor = descriptor
  }

  func release() { close(descriptor) }
}

public struct SocketError: Error, CustomStringConvertible {
  public let description: String
  init(_ description: String) { self.description = description }
}
