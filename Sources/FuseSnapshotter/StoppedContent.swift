import Protocols
import Synchronization

/// Whether somebody wants it to stop.
final class Stop: Sendable {
  private let ordered = Atomic(false)
  var isWanted: Bool { ordered.load(ordering: .relaxed) }
  func order() { ordered.store(true, ordering: .relaxed) }
}

/// Content that is `canceled` from the moment somebody wants it to stop, so that whoever reads it does not go on.
struct StoppedContent: ContentProvider {
  let base: any ContentProvider
  let stop: Stop

  func reader(_ digest: Digest) async throws -> any ContentReader { Reader(base: try await base.reader(digest), stop: stop) }

  private struct Reader: ContentReader {
    let base: any ContentReader
    let stop: Stop
    var size: Int64 { base.size }

    func read(at offset: Int64, count: Int) async throws -> [UInt8] {
      if stop.isWanted { throw ContainerdError(.canceled, "what reads it is not wanted any more") }
      return try await base.read(at: offset, count: count)
    }
    func close() async { await base.close() }
  }
}
