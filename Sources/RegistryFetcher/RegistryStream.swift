import AsyncHTTPClient
import NIOCore
import Protocols

/// A transfer that resumes by itself where a connection broke. It delivers what the descriptor promises, not a byte more.
actor RegistryStream: ByteStream {
  private let fetcher: RegistryFetcher
  private let descriptor: Descriptor
  private var offset: Int64
  /// Bytes to come that are known already: the server has ignored the range.
  private var skip: Int64 = 0
  /// Whose answer is being read.
  private var endpoint: Endpoint?
  private var iterator: HTTPClientResponse.Body.AsyncIterator?
  /// Since the last byte.
  private var interruptions = 0
  private var cancelled = false

  init(fetcher: RegistryFetcher, descriptor: Descriptor, offset: Int64) {
    self.fetcher = fetcher
    self.descriptor = descriptor
    self.offset = offset
  }

  func open() async throws {
    if offset >= descriptor.size { return }
    let opened = try await fetcher.body(descriptor, from: offset)
    iterator = opened.body.makeAsyncIterator()
    skip = offset - opened.part.lowerBound
    endpoint = opened.endpoint
  }

  func next() async throws -> [UInt8]? {
    while true {
      if cancelled { throw CancellationError() }
      if offset >= descriptor.size {
        try await finish()
        return nil
      }
      do {
        guard let buffer = try await advance() else { throw Interrupted() }
        if let bytes = try take(buffer) { return bytes }
      } catch let error as ContainerdError { throw error } catch {
        if error is CancellationError || Task.isCancelled || cancelled { throw CancellationError() }
        try await resume(after: error)
      }
    }
  }

  func cancel() {
    cancelled = true
    iterator = nil
  }

  /// What is new in a piece; nil if nothing is.
  private func take(_ buffer: ByteBuffer) throws -> [UInt8]? {
    let known = Int(min(skip, Int64(buffer.readableBytes)))
    skip -= Int64(known)
    let bytes = Array(buffer.readableBytesView.dropFirst(known))
    if bytes.isEmpty { return nil }
    if Int64(bytes.count) > descriptor.size - offset { throw surplus }
    offset += Int64(bytes.count)
    interruptions = 0
    return bytes
  }

  private func resume(after error: any Error) async throws {
    interruptions += 1
    iterator = nil
    if let endpoint { await fetcher.session.book.rest(endpoint) }
    let retry = fetcher.session.configuration
    if interruptions >= max(1, retry.attempts) {
      throw ContainerdError.unavailable("\(descriptor.digest): the transfer broke off at byte \(offset) of \(descriptor.size): \(error)")
    }
    try await Task.sleep(for: min(retry.firstPause * (1 << min(interruptions - 1, 16)), Retry.longestPause))
    try await open()
  }

  /// Reads the end of the body: only then the connection can be used again.
  private func finish() async throws {
    guard iterator != nil else { return }
    var rest: ByteBuffer?
    // All bytes are here: what goes wrong now is the connection's affair.
    do { rest = try await advance() } catch {}
    iterator = nil
    if rest.map({ $0.readableBytes > 0 }) ?? false { throw surplus }
  }

  /// The iterator is taken out for the time of the call, and put back.
  private func advance() async throws -> ByteBuffer? {
    guard var current = iterator else { return nil }
    iterator = nil
    let buffer = try await current.next(isolation: #isolation)
    if !cancelled { iterator = current }
    return buffer
  }

  private var surplus: ContainerdError { .failedPrecondition("\(descriptor.digest): the registry sent more than \(descriptor.size) bytes") }

  private struct Interrupted: Error, CustomStringConvertible { var description: String { "the connection ended early" } }
}
