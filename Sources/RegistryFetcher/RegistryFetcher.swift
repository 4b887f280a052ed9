import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import OCI
import Protocols

/// Bytes of one repository.
struct RegistryFetcher: Fetcher {
  let session: RegistrySession
  let image: ImageReference

  func fetch(_ descriptor: Descriptor, from offset: Int64) async throws -> any ByteStream {
    if offset < 0 || offset > descriptor.size { throw ContainerdError.outOfRange("\(descriptor.digest): offset \(offset) of \(descriptor.size) bytes") }
    let stream = RegistryStream(fetcher: self, descriptor: descriptor, offset: offset)
    try await stream.open()
    return stream
  }

  func read(_ descriptor: Descriptor, _ range: Range<Int64>) async throws -> [UInt8] {
    guard range.lowerBound >= 0, range.upperBound <= descriptor.size else {
      throw ContainerdError.outOfRange("\(descriptor.digest): bytes \(range.lowerBound) to \(range.upperBound) of \(descriptor.size)")
    }
    var read = RangedRead(fetcher: self, descriptor: descriptor, range: range)
    return try await read.run()
  }

  func object(_ descriptor: Descriptor) -> String { "\(image.registry)/\(image.repository)@\(descriptor.digest)" }

  /// What asks for a blob or a manifest. A registry knows no parts of manifests.
  func call(_ descriptor: Descriptor, _ range: RequestRange?) -> RegistrySession.Call {
    let isManifest = MediaType.isIndex(descriptor.mediaType) || MediaType.isManifest(descriptor.mediaType)
    return RegistrySession.Call(
      image: image, path: "\(isManifest ? "manifests" : "blobs")/\(descriptor.digest)", accept: isManifest ? MediaType.manifests : [],
      range: isManifest ? nil : range, object: object(descriptor))
  }

  /// A response body, what it begins with, and who sends it.
  struct Opened: Sendable {
    var body: HTTPClientResponse.Body
    var part: Range<Int64>
    var endpoint: Endpoint
  }

  /// The response body from `offset` on: 206, or 200 from the beginning.
  func body(_ descriptor: Descriptor, from offset: Int64) async throws -> Opened {
    let object = object(descriptor)
    let (opened, endpoint) = try await session.open(call(descriptor, offset > 0 ? .from(offset) : nil)) { response in
      switch response.status {
      case .partialContent:
        let header = response.headers.first(name: "Content-Range") ?? ""
        guard let (range, total) = Self.contentRange(header), range.lowerBound == offset else {
          throw ContainerdError.outOfRange("\(object): asked for bytes from \(offset), got \"\(RegistryErrors.printable(header))\"")
        }
        try check(total: total, descriptor)
        return (response.body, offset..<descriptor.size)
      case .rangeNotSatisfiable: throw ContainerdError.outOfRange("\(object): the registry cannot resume at \(offset)")
      default:
        try checkWhole(response, descriptor)
        return (response.body, 0..<descriptor.size)
      }
    }
    return Opened(body: opened.0, part: opened.1, endpoint: endpoint)
  }

  /// The response body for a part of the blob: one that begins where it should and is not longer, or the whole.
  func body(_ descriptor: Descriptor, _ wanted: Range<Int64>) async throws -> Opened {
    let object = object(descriptor)
    let (opened, endpoint) = try await session.open(call(descriptor, .part(wanted))) { response in
      switch response.status {
      case .partialContent:
        let header = response.headers.first(name: "Content-Range") ?? ""
        let length = response.headers.first(name: "Content-Length").flatMap(Int64.init)
        guard let (range, total) = Self.contentRange(header), range.lowerBound == wanted.lowerBound, range.upperBound < wanted.upperBound,
          length == nil || length == range.upperBound - range.lowerBound + 1
        else {
          // Behind one name may be several servers, one of them broken.
          throw Transient(
            cause: .outOfRange(
              "\(object): asked for bytes \(wanted.lowerBound)-\(wanted.upperBound - 1), got \"\(RegistryErrors.printable(header))\""
                + (length.map { " with \($0) bytes" } ?? "")))
        }
        try check(total: total, descriptor)
        return (response.body, wanted.lowerBound..<range.upperBound + 1)
      case .rangeNotSatisfiable:
        throw ContainerdError.outOfRange("\(object): the registry has no bytes \(wanted.lowerBound)-\(wanted.upperBound - 1)")
      default:
        try checkWhole(response, descriptor)
        guard wanted.lowerBound <= RangedRead.longestSkip else {
          throw ContainerdError.outOfRange("\(object): the registry serves no parts, and the bytes wanted come after \(wanted.lowerBound) others")
        }
        return (response.body, 0..<descriptor.size)
      }
    }
    return Opened(body: opened.0, part: opened.1, endpoint: endpoint)
  }

  private func checkWhole(_ response: HTTPClientResponse, _ descriptor: Descriptor) throws {
    try check(total: response.headers.first(name: "Content-Length").flatMap(Int64.init), descriptor)
  }

  private func check(total: Int64?, _ descriptor: Descriptor) throws {
    guard let total, total != descriptor.size else { return }
    throw ContainerdError.failedPrecondition("\(object(descriptor)): the registry has \(total) bytes, the descriptor says \(descriptor.size)")
  }

  /// `bytes 5-9/20`; the total may be `*`.
  static func contentRange(_ header: String) -> (ClosedRange<Int64>, total: Int64?)? {
    guard header.hasPrefix("bytes ") else { return nil }
    let parts = header.dropFirst(6).split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    let bounds = parts[0].split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
    guard bounds.count == 2, let first = bounds[0], let last = bounds[1], first <= last else { return nil }
    return (first...last, Int64(parts[1]))
  }
}
