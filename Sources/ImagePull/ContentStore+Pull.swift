import OCI
import Protocols

extension ContentProvider {
  /// A small blob whole.
  public func readAll(_ digest: Digest, limit: Int64 = ImageDocument.maximumSize) async throws -> [UInt8] {
    let reader = try await reader(digest)
    if reader.size > limit {
      await reader.close()
      throw ContainerdError(.resourceExhausted, "content \(digest): \(reader.size) bytes are more than \(limit)")
    }
    var bytes: [UInt8] = []
    do {
      while Int64(bytes.count) < reader.size {
        let chunk = try await reader.read(at: Int64(bytes.count), count: Int(reader.size) - bytes.count)
        if chunk.isEmpty { throw ContainerdError.dataLoss("content \(digest): \(bytes.count) of \(reader.size) bytes") }
        bytes += chunk
      }
    } catch {
      await reader.close()
      throw error
    }
    await reader.close()
    return bytes
  }
}

extension ContentStore {
  /// Sets labels and leaves the others alone.
  func label(_ digest: Digest, _ labels: Labels) async throws {
    _ = try await update(ContentInfo(digest: digest, labels: labels), fields: FieldMask(labels.keys.sorted().map { "labels.\($0)" }))
  }
}
