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
    let reads = Reads()
    return try await withTaskCancellationHandler {
      try await DedicatedThread.run {
        try ForeignIndex.find(blob: layer.digest, size: layer.size, mediaType: layer.mediaType, annotations: annotations, diffID: diffID) { range in
          try reads.waiting { try await fetcher.read(layer, range) }
        }
      }
    } onCancel: {
      reads.cancel()
    }
  }

  /// What a thread that may be blocked reads, one after another. Whoever gives it up does not wait for a registry that never answers.
  private final class Reads: Sendable {
    private struct State {
      var read: Task<Void, Never>?
      var isCancelled = false
    }
    private let state = Mutex(State())

    func waiting(_ body: @escaping @Sendable () async throws -> [UInt8]) throws -> [UInt8] {
      let done = DispatchSemaphore(value: 0)
      let box = Box()
      try state.withLock { state in
        if state.isCancelled { throw CancellationError() }
        state.read = Task.detached {
          let outcome: Result<[UInt8], any Error>
          do { outcome = .success(try await body()) } catch { outcome = .failure(error) }
          box.result.withLock { $0 = outcome }
          done.signal()
        }
      }
      done.wait()
      return try box.result.withLock { try $0?.get() ?? [] }
    }

    func cancel() {
      state.withLock { state in
        state.isCancelled = true
        state.read?.cancel()
      }
    }
  }

  private final class Box: Sendable {
    let result = Mutex<Result<[UInt8], any Error>?>(nil)
  }
}
