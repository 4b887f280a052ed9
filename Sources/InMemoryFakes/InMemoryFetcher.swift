import Protocols
import Synchronization

struct InMemoryFetcher: Fetcher {
  let registry: InMemoryRegistry

  func fetch(_ descriptor: Descriptor, from offset: Int64) async throws -> any ByteStream {
    let after = try await registry.instrument.enter("fetch", descriptor.digest.description, "\(offset)")
    guard let bytes = registry.state.withLock({ $0.blobs[descriptor.digest] }) else { throw ContainerdError.notFound("blob \(descriptor.digest)") }
    guard (0...Int64(bytes.count)).contains(offset) else {
      throw ContainerdError.outOfRange("blob \(descriptor.digest): fetch from \(offset) of \(bytes.count)")
    }
    return InMemoryByteStream(
      object: "blob \(descriptor.digest)", bytes: bytes[Int(offset)...], chunk: registry.chunk, dropAfter: after.dropAfter.map { Int($0) })
  }
}

/// Bytes in chunks, until the end or until the connection drops.
final class InMemoryByteStream: ByteStream {
  private let object: String
  private let chunk: Int
  private struct Rest {
    var bytes: ArraySlice<UInt8>
    var untilDrop: Int?
  }
  private let rest: Mutex<Rest>

  init(object: String, bytes: ArraySlice<UInt8>, chunk: Int, dropAfter: Int?) {
    self.object = object
    self.chunk = chunk
    self.rest = Mutex(Rest(bytes: bytes, untilDrop: dropAfter))
  }

  func next() async throws -> [UInt8]? {
    try rest.withLock { rest in
      if rest.untilDrop == 0 { throw ContainerdError.unavailable("\(object): connection lost") }
      if rest.bytes.isEmpty { return nil }
      let next = Array(rest.bytes.prefix(min(chunk, rest.untilDrop ?? chunk)))
      rest.bytes = rest.bytes.dropFirst(next.count)
      rest.untilDrop = rest.untilDrop.map { $0 - next.count }
      return next
    }
  }

  func cancel() async { rest.withLock { $0 = Rest(bytes: [], untilDrop: nil) } }
}
