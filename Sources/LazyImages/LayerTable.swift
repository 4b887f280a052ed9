import BlockingIO
import Dispatch
import LayerIndex
import Protocols
import Synchronization

/// A table of contents that a layer has in itself (eStargz, zstd:chunked), read from the registry.
enum LayerTable {
  /// nil if the layer has none. Errors as the fetcher's, and `invalidArgument` or `dataLoss` for a table that makes no sense.
  static func find(
    _ layer: Descriptor, _ diffID: Digest, annotations: [String: String], _ fetcher: any Fetcher
  ) async throws -> ForeignIndex.Found? {
    try await DedicatedThread.run {
      try ForeignIndex.find(blob: layer.digest, size: layer.size, mediaType: layer.mediaType, annotations: annotations, diffID: diffID) { range in
        try waiting { try await fetcher.read(layer, range) }
      }
    }
  }

  /// For a thread that may be blocked.
  private static func waiting(_ body: @escaping @Sendable () async throws -> [UInt8]) throws -> [UInt8] {
    let done = DispatchSemaphore(value: 0)
    let box = Box()
    Task.detached {
      let outcome: Result<[UInt8], any Error>
      do { outcome = .success(try await body()) } catch { outcome = .failure(error) }
      box.result.withLock { $0 = outcome }
      done.signal()
    }
    done.wait()
    return try box.result.withLock { try $0?.get() ?? [] }
  }

  private final class Box: Sendable {
    let result = Mutex<Result<[UInt8], any Error>?>(nil)
  }
}
