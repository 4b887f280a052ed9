import Protocols

/// A blob's bytes, its own copy: deleting the blob does not disturb it.
struct InMemoryContentReader: ContentReader {
  let digest: Digest
  let bytes: [UInt8]
  let instrument: Instrument

  var size: Int64 { Int64(bytes.count) }

  func read(at offset: Int64, count: Int) async throws -> [UInt8] {
    try await instrument.enter("read", digest.description, "\(offset)", "\(count)")
    if offset < 0 { throw ContainerdError.outOfRange("content \(digest): read at \(offset)") }
    if offset >= size || count <= 0 { return [] }
    return Array(bytes[Int(offset)...].prefix(count))
  }

  func close() async {}
}
