import BlockingIO
import Dispatch
import LayerIndex
import Protocols
import Synchronization

/// Reads a layer from its beginning to its end and makes its index.
enum IndexMaker {
  /// Out of a content store.
  /// - Returns: the index as a file. Its digest and length are checked on the way.
  static func make(_ layer: Descriptor, from content: any ContentProvider) async throws -> [UInt8] {
    let reader = try await content.reader(layer.digest)
    do {
      let bytes = try await make(layer, from: ReaderStream(reader)).bytes
      await reader.close()
      return bytes
    } catch {
      await reader.close()
      throw error
    }
  }

  /// The stream is at its end afterwards, or has been stopped.
  static func make(_ layer: Descriptor, from stream: any ByteStream) async throws -> (index: LayerIndex, bytes: [UInt8]) {
    do {
      return try await DedicatedThread.run {
        let index = try LayerIndex.build(from: AheadBytes(stream), mediaType: layer.mediaType, expected: layer.digest)
        return (index, try IndexFile.encode(index))
      }
    } catch {
      await stream.cancel()
      throw error
    }
  }

  private actor ReaderStream: ByteStream {
    private static let piece = 1 << 20
    private let reader: any ContentReader
    private var offset: Int64 = 0

    init(_ reader: any ContentReader) { self.reader = reader }

    func next() async throws -> [UInt8]? {
      let bytes = try await reader.read(at: offset, count: Self.piece)
      offset += Int64(bytes.count)
      return bytes.isEmpty ? nil : bytes
    }

    func cancel() {}
  }

  /// A stream for a thread that may be blocked, one piece ahead: while this one is being unpacked the next is on its way.
  private final class AheadBytes: BlobBytes {
    private let stream: any ByteStream
    private var pending: Pending?
    private var isAtEnd = false
    private var memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)

    init(_ stream: any ByteStream) { self.stream = stream }
    deinit { memory.deallocate() }

    func next() throws -> UnsafeRawBufferPointer? {
      if isAtEnd { return nil }
      let current = pending ?? Pending(stream)
      guard let bytes = try current.wait() else {
        isAtEnd = true
        return nil
      }
      pending = Pending(stream)
      if bytes.count > memory.count {
        memory.deallocate()
        memory = .allocate(byteCount: bytes.count, alignment: 4096)
      }
      memory.copyBytes(from: bytes)
      return UnsafeRawBufferPointer(rebasing: memory[0..<bytes.count])
    }

    private final class Pending: Sendable {
      private let done = DispatchSemaphore(value: 0)
      private let result = Mutex<Result<[UInt8]?, any Error>?>(nil)

      init(_ stream: any ByteStream) {
        Task.detached {
          let outcome: Result<[UInt8]?, any Error>
          do { outcome = .success(try await stream.next()) } catch { outcome = .failure(error) }
          self.result.withLock { $0 = outcome }
          self.done.signal()
        }
      }

      func wait() throws -> [UInt8]? {
        done.wait()
        defer { done.signal() }
        return try result.withLock { try $0?.get() ?? nil }
      }
    }
  }
}
