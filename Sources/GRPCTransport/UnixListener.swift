import FrameShield
import GRPCNIOTransportHTTP2Posix
import Glibc
import NIOCore
import NIOPosix

/// A gRPC listener on a unix socket, with a `FrameShield` on every connection.
///
/// A lock file beside the socket (`PATH.lock`) belongs to the daemon that listens: a second one is refused instead of quietly
/// stealing the path, and a socket left over by a killed daemon is replaced.
public struct UnixListener: HTTP2ServerTransport.ListenerFactory {
  public let path: String
  public let uid: UInt32?
  public let gid: UInt32?
  public let eventLoopGroup: any EventLoopGroup
  private let inherited: Int32?

  /// - Parameter inherited: a socket that listens already, somebody else's (`ListeningSocket`): its path and its lock are theirs.
  public init(path: String, uid: UInt32? = nil, gid: UInt32? = nil, group: any EventLoopGroup, inherited: Int32? = nil) {
    self.path = path
    self.uid = uid
    self.gid = gid
    self.eventLoopGroup = group
    self.inherited = inherited
  }

  public func makeListeningChannel(
    listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator, connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
  ) async throws -> NIOAsyncChannel<HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel, Never> {
    if let inherited { return try await listen(on: inherited, listenerConfigurator, connectionConfigurator) }
    let lock = try SocketLock(path: path + ".lock")
    unlink(path)
    let bootstrap = ServerBootstrap(group: eventLoopGroup)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelInitializer { listenerConfigurator.configure(channel: $0) }
    let channel = try await bootstrap.bind(unixDomainSocketPath: path) { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.addHandler(FrameShield())
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

  private func listen(
    on socket: Int32, _ listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator,
    _ connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
  ) async throws -> NIOAsyncChannel<HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel, Never> {
    let bootstrap = ServerBootstrap(group: eventLoopGroup)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelInitializer { listenerConfigurator.configure(channel: $0) }
    return try await bootstrap.bind(socket) { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.addHandler(FrameShield())
      }.flatMap { connectionConfigurator.configure(channel: channel, tls: .none) }
    }
  }
}

/// A unix socket that listens for servers which come and go: who connects between two of them waits for the next.
///
/// It has the lock beside the socket (`PATH.lock`) as long as it lives. Blocking to make.
public final class ListeningSocket: Sendable {
  public let descriptor: Int32
  private let path: String
  private let lock: SocketLock

  public init(path: String) throws {
    self.path = path
    lock = try SocketLock(path: path + ".lock")
    unlink(path)
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    if descriptor < 0 { throw SocketError("socket: \(String(cString: strerror(errno)))") }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    let room = MemoryLayout.size(ofValue: address.sun_path)
    if bytes.count >= room { throw SocketError("\(path): the path of a socket has at most \(room - 1) bytes") }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let descriptor = descriptor
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
    if bound != 0 { throw SocketError("bind \(path): \(String(cString: strerror(errno)))") }
    chmod(path, 0o660)
    if Glibc.listen(descriptor, 256) != 0 { throw SocketError("listen \(path): \(String(cString: strerror(errno)))") }
  }

  /// For the end of the process: nobody finds it any more.
  public func remove() { unlink(path) }

  deinit {
    close(descriptor)
    lock.release()
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
