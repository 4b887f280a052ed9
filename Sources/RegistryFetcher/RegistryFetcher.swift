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

  /// The response body from `offset` on: 206, or 200 whose first `skip` bytes are known already.
  func body(_ descriptor: Descriptor, from offset: Int64) async throws -> (body: HTTPClientResponse.Body, skip: Int64) {
    let isManifest = MediaType.isIndex(descriptor.mediaType) || MediaType.isManifest(descriptor.mediaType)
    let object = "\(image.registry)/\(image.repository)@\(descriptor.digest)"
    let response = try await session.open(
      .init(
        image: image, path: "\(isManifest ? "manifests" : "blobs")/\(descriptor.digest)", accept: isManifest ? MediaType.manifests : [],
        offset: isManifest ? 0 : offset, object: object))
    switch response.status {
    case .ok:
      if let length = response.headers.first(name: "Content-Length").flatMap(Int64.init), length != descriptor.size {
        throw ContainerdError.failedPrecondition("\(object): the registry has \(length) bytes, the descriptor says \(descriptor.size)")
      }
      return (response.body, offset)
    case .partialContent:
      let header = response.headers.first(name: "Content-Range") ?? ""
      guard let (range, total) = Self.contentRange(header), range.lowerBound == offset else {
        throw ContainerdError.outOfRange("\(object): asked for bytes from \(offset), got \"\(RegistryErrors.printable(header))\"")
      }
      if let total, total != descriptor.size {
        throw ContainerdError.failedPrecondition("\(object): the registry has \(total) bytes, the descriptor says \(descriptor.size)")
      }
      return (response.body, 0)
    case .rangeNotSatisfiable: throw ContainerdError.outOfRange("\(object): the registry cannot resume at \(offset)")
    default: throw await RegistryErrors.error(response, object)
    }
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
