import NIOCore
import Synchronization

/// The open connections of a listener, so that they can be ended with it.
final class Connections: Sendable {
  private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])

  func add(_ channel: any Channel) {
    let key = ObjectIdentifier(channel)
    channels.withLock { $0[key] = channel }
    channel.closeFuture.whenComplete { [weak self] _ in
      self?.channels.withLock { $0[key] = nil }
    }
  }

  func takeAll() -> [any Channel] {
    channels.withLock { channels in
      defer { channels = [:] }
      return Array(channels.values)
    }
  }
}
