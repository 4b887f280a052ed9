import AsyncHTTPClient
import NIOCore
import Protocols

/// One read of a part: all its bytes or none. What breaks off is asked for again from where it stopped; the redirects are followed afresh each time, because the
/// addresses that they lead to run out.
struct RangedRead {
  /// Bytes that are read and thrown away where a server ignores the range. More of them would cost more than an error.
  static let longestSkip: Int64 = 64 << 20
  /// How much of a body that nobody wants is read to keep the connection.
  private static let patience: Int64 = 64 << 10

  private let fetcher: RegistryFetcher
  private let descriptor: Descriptor
  private let range: Range<Int64>
  private var bytes: [UInt8] = []
  /// Whose answer is being read.
  private var endpoint: Endpoint?

  init(fetcher: RegistryFetcher, descriptor: Descriptor, range: Range<Int64>) {
    self.fetcher = fetcher
    self.descriptor = descriptor
    self.range = range
  }

  private var isComplete: Bool { bytes.count == range.count }

  mutating func run() async throws -> [UInt8] {
    let limits = fetcher.session.configuration
    /// Since the last byte.
    var failures = 0
    while !isComplete {
      try Task.checkCancellation()
      let before = bytes.count
      do { try await attempt() } catch let error as ContainerdError { throw error } catch {
        if isComplete { break }
        if error is CancellationError || Task.isCancelled { throw CancellationError() }
        if let endpoint { await fetcher.session.book.rest(endpoint) }
        failures = bytes.count > before ? 1 : failures + 1
        if failures >= max(1, limits.attempts) { throw final(error) }
        try await Task.sleep(for: min(limits.firstPause * (1 << min(failures - 1, 16)), Retry.longestPause))
      }
    }
    return bytes
  }

  private mutating func attempt() async throws {
    let start = range.lowerBound + Int64(bytes.count)
    let before = bytes.count
    endpoint = nil
    let opened = try await fetcher.body(descriptor, start..<range.upperBound)
    let part = opened.part
    endpoint = opened.endpoint
    var position = part.lowerBound
    bytes.reserveCapacity(range.count)
    for try await buffer in opened.body {
      let known = Int(max(0, min(start - position, Int64(buffer.readableBytes))))
      position += Int64(buffer.readableBytes)
      if position > part.upperBound {
        // Where one byte is too many, none of them can be placed.
        bytes.removeLast(bytes.count - before)
        let named = "\(part.lowerBound)-\(part.upperBound - 1)"
        throw Transient(cause: .failedPrecondition("\(fetcher.object(descriptor)): the registry sent more than the bytes \(named)"))
      }
      bytes += buffer.readableBytesView.dropFirst(known).prefix(range.count - bytes.count)
      if isComplete, part.upperBound - position > Self.patience { return }
    }
    if position < part.upperBound, !isComplete { throw Interrupted() }
  }

  private func final(_ error: any Error) -> ContainerdError {
    if let error = error as? Transient { return error.cause }
    return .unavailable(
      "\(fetcher.object(descriptor)): the transfer broke off at byte \(range.lowerBound + Int64(bytes.count)) of \(range.upperBound): \(error)")
  }

  private struct Interrupted: Error, CustomStringConvertible { var description: String { "the answer ended early" } }
}
