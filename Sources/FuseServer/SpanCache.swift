import Dispatch
import LayerIndex
import Protocols
import Synchronization

/// Where the bytes of a layer's blob come from.
public protocol LayerSource: Sendable {
  /// Exactly the bytes of the range. Blocking; may be called from several threads at once.
  func read(_ range: Range<Int64>) throws -> [UInt8]
}

extension BlobFile: LayerSource {}

/// Spans that have been fetched, checked and unpacked, as many as there is room for. Who asks for one that is on its way waits for it.
///
/// Safe from any thread. Calls block: for threads of their own.
final class SpanCache: Sendable {
  private struct Key: Hashable {
    var layer: Int
    var span: Int
  }
  private final class Flight: Sendable {
    private let group = DispatchGroup()
    private let result = Mutex<Result<[UInt8], any Error>?>(nil)
    init() { group.enter() }
    func land(_ outcome: Result<[UInt8], any Error>) {
      result.withLock { $0 = outcome }
      group.leave()
    }
    func wait() throws -> [UInt8] {
      group.wait()
      return try result.withLock { try $0?.get() ?? [] }
    }
  }
  private struct State {
    var flights: [Key: Flight] = [:]
    /// When each was used last, by a count.
    var spans: [Key: (bytes: [UInt8], used: UInt64)] = [:]
    var held = 0
    var clock: UInt64 = 0
    var fetched: Int64 = 0
  }
  private let layers: [(index: LayerIndex, source: any LayerSource)]
  private let room: Int
  private let state = Mutex(State())

  /// - Parameter room: bytes of unpacked spans that are kept.
  init(_ layers: [(index: LayerIndex, source: any LayerSource)], room: Int) {
    self.layers = layers
    self.room = room
  }

  /// Bytes of blobs that were fetched so far.
  var fetched: Int64 { state.withLock { $0.fetched } }

  /// Copies a part of a layer's archive; what is wrong with a span is an error, and nothing of it is copied.
  func copy(_ range: Range<Int64>, of layer: Int, to target: UnsafeMutableRawBufferPointer) throws {
    let index = layers[layer].index
    for number in index.spans(holding: range) {
      let place = index.spans[number].archiveRange
      let part = range.clamped(to: place)
      try unpacked(number, of: layer).withUnsafeBytes { bytes in
        let from = UnsafeRawBufferPointer(rebasing: bytes[Int(part.lowerBound - place.lowerBound)..<Int(part.upperBound - place.lowerBound)])
        UnsafeMutableRawBufferPointer(rebasing: target[Int(part.lowerBound - range.lowerBound)...]).copyMemory(from: from)
      }
    }
  }

  private enum Found {
    case here([UInt8])
    case underWay(Flight)
    case mine(Flight)
  }

  private func unpacked(_ number: Int, of layer: Int) throws -> [UInt8] {
    let key = Key(layer: layer, span: number)
    let found: Found = state.withLock { state in
      state.clock += 1
      if let there = state.spans[key] {
        state.spans[key]?.used = state.clock
        return .here(there.bytes)
      }
      if let flight = state.flights[key] { return .underWay(flight) }
      let flight = Flight()
      state.flights[key] = flight
      return .mine(flight)
    }
    switch found {
    case .here(let bytes): return bytes
    case .underWay(let flight): return try flight.wait()
    case .mine(let flight):
      let (index, source) = layers[layer]
      let span = index.spans[number]
      let outcome = Result { try index.unpack(span, from: try source.read(span.blobRange)) }
      state.withLock { state in
        state.flights[key] = nil
        guard case .success(let bytes) = outcome else { return }
        state.fetched += span.blobRange.upperBound - span.blobRange.lowerBound
        state.clock += 1
        state.spans[key] = (bytes, state.clock)
        state.held += bytes.count
        while state.held > room, state.spans.count > 1, let oldest = state.spans.min(by: { $0.value.used < $1.value.used }) {
          state.spans[oldest.key] = nil
          state.held -= oldest.value.bytes.count
        }
      }
      flight.land(outcome)
      return try outcome.get()
    }
  }
}
