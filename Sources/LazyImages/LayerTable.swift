import BlockingIO
import CLinux
import Dispatch
import LayerIndex
import Protocols
import Synchronization
import SystemKit

/// A table of contents that a layer has in itself (eStargz, zstd:chunked), fetched from the registry.
enum LayerTable {
  /// Writes the table, and what tells where it is, into a new file, each byte where the layer has it; the rest is a hole. Nothing is unpacked or believed here.
  /// - Returns: nil if the layer has none.
  /// - Throws: as the fetcher, and `invalidArgument` for a footer that makes no sense.
  static func fetch(
    _ layer: Descriptor, annotations: [String: String], _ fetcher: any Fetcher, to path: String
  ) async throws -> ForeignIndex.Table? {
    let reads = Reads()
    return try await withTaskCancellationHandler {
      try await DedicatedThread.run {
        let file = try Files.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode: 0o600)
        let raw = file.raw
        try check("ftruncate", path) { ftruncate(raw, off_t(layer.size)) }
        func read(_ range: Range<Int64>) throws -> [UInt8] {
          let bytes = try reads.waiting { try await fetcher.read(layer, range) }
          if bytes.count != range.count {
            throw ContainerdError(.dataLoss, "blob \(layer.digest), bytes \(range.lowerBound) to \(range.upperBound): \(bytes.count) bytes came")
          }
          try write(bytes, to: raw, at: range.lowerBound, path)
          return bytes
        }
        guard
          let table = try ForeignIndex.table(
            blob: layer.digest, size: layer.size, mediaType: layer.mediaType, annotations: annotations, read: read)
        else { return nil }
        defer { withExtendedLifetime(file) {} }
        for start in stride(from: table.range.lowerBound, to: table.range.upperBound, by: piece) {
          _ = try read(start..<min(start + Int64(piece), table.range.upperBound))
        }
        return table
      }
    } onCancel: {
      reads.cancel()
    }
  }
  private static let piece = 8 << 20

  private static func write(_ bytes: [UInt8], to file: Int32, at place: Int64, _ path: String) throws(SystemError) {
    var done = 0
    while done < bytes.count {
      done += try check("pwrite", path) {
        bytes.withUnsafeBytes { pwrite(file, $0.baseAddress?.advanced(by: done), $0.count - done, off_t(place) + off_t(done)) }
      }
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
