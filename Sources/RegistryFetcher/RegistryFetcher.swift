import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import OCI
import Protocols

/// Bytes of one repository.
struct RegistryFetcher: Fetcher {
  let session: RegistrySession
  let image: ImageReference
  let attempts: Int

  func fetch(_ descriptor: Descriptor, from offset: Int64) async throws -> any ByteStream {
    let stream = RegistryStream(fetcher: self, descriptor: descriptor, offset: offset)
    try await stream.open()
    return stream
  }

  /// The response body from `offset` on: 206, or 200 with what was there before skipped by the reader.
  fileprivate func body(_ descriptor: Descriptor, from offset: Int64) async throws -> (HTTPClientResponse.Body, skip: Int64) {
    let isManifest = MediaType.isIndex(descriptor.mediaType) || MediaType.isManifest(descriptor.mediaType)
    let object = "\(image.registry)/\(image.repository)@\(descriptor.digest)"
    let response = try await session.request(
      .GET, image, path: "\(isManifest ? "manifests" : "blobs")/\(descriptor.digest)", accept: isManifest ? MediaType.manifests : [],
      range: isManifest ? 0 : offset, object: object)
    switch response.status {
    case .ok:
      if let length = response.headers.first(name: "Content-Length").flatMap(Int64.init), length != descriptor.size {
        throw ContainerdError.failedPrecondition("\(object): the registry has \(length) bytes, the descriptor says \(descriptor.size)")
      }
      return (response.body, offset)
    case .partialContent:
      guard response.headers.first(name: "Content-Range")?.hasPrefix("bytes \(offset)-") == true else {
        throw ContainerdError.outOfRange("\(object): asked for bytes from \(offset), got \(response.headers.first(name: "Content-Range") ?? "no range")")
      }
      return (response.body, 0)
    case .rangeNotSatisfiable: throw ContainerdError.outOfRange("\(object): the registry cannot resume at \(offset)")
    default: throw await RegistryErrors.error(response, object)
    }
  }
}

/// A transfer that resumes by itself where a connection broke.
actor RegistryStream: ByteStream {
  private let fetcher: RegistryFetcher
  private let descriptor: Descriptor
  private var offset: Int64
  private var skip: Int64 = 0
  private var iterator: HTTPClientResponse.Body.AsyncIterator?
  private var interruptions = 0
  private var cancelled = false

  init(fetcher: RegistryFetcher, descriptor: Descriptor, offset: Int64) {
    self.fetcher = fetcher
    self.descriptor = descriptor
    self.offset = offset
  }

  func open() async throws {
    if offset >= descriptor.size { return }
    let (body, skip) = try await fetcher.body(descriptor, from: offset)
    iterator = body.makeAsyncIterator()
    self.skip = skip
  }

  func next() async throws -> [UInt8]? {
    while true {
      if cancelled { throw CancellationError() }
      if offset >= descriptor.size { return nil }
      do {
        guard let buffer = try await advance() else { throw Interrupted() }
        var bytes = Array(buffer.readableBytesView)
        if skip > 0 {
          let dropped = Int(min(skip, Int64(bytes.count)))
          bytes.removeFirst(dropped)
          skip -= Int64(dropped)
        }
        if bytes.isEmpty { continue }
        if Int64(bytes.count) > descriptor.size - offset {
          throw ContainerdError.failedPrecondition("\(descriptor.digest): the registry sent more than \(descriptor.size) bytes")
        }
        offset += Int64(bytes.count)
        interruptions = 0
        return bytes
      } catch let error as ContainerdError { throw error } catch is CancellationError { throw CancellationError() } catch {
        interruptions += 1
        if interruptions >= fetcher.attempts {
          throw ContainerdError.unavailable("\(descriptor.digest): transfer broke off at byte \(offset) of \(descriptor.size): \(error)")
        }
        try await Task.sleep(for: .milliseconds(100 << interruptions))
        try await open()
      }
    }
  }

  func cancel() {
    cancelled = true
    iterator = nil
  }

  /// The iterator is taken out for the time of the call, and put back.
  private func advance() async throws -> ByteBuffer? {
    guard var current = iterator else { return nil }
    iterator = nil
    let buffer = try await current.next(isolation: #isolation)
    if !cancelled { iterator = current }
    return buffer
  }

  private struct Interrupted: Error, CustomStringConvertible { var description: String { "the connection ended early" } }
}
