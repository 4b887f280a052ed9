import CFuse
import CLinux
import LazyLayers
import Synchronization

/// The layers of a mount as the C side reads them by itself, and what it keeps of it. Safe from any thread.
final class Archives: @unchecked Sendable {
  let start: UnsafeMutablePointer<cfuse_archive>
  let count: Int
  /// How far each directory's files have been given to the kernel.
  let ahead: UnsafeMutablePointer<UInt32>
  private let touched: UnsafeMutablePointer<UInt8>
  private let number: UnsafeMutablePointer<Atomic<UInt64>>
  /// Whose memory that is.
  private let layers: [LazyLayer]

  init(_ tree: FlatTree, _ layers: [LazyLayer]) {
    self.layers = layers
    let views = layers.map(\.view)
    count = views.count
    let spans = views.reduce(0) { $0 + $1.count }
    touched = .allocate(capacity: spans)
    touched.initialize(repeating: 0, count: spans)
    // Not touched before it is needed.
    ahead = calloc(tree.count + 1, MemoryLayout<UInt32>.stride)!.assumingMemoryBound(to: UInt32.self)
    start = .allocate(capacity: count)
    number = .allocate(capacity: 1)
    number.initialize(to: Atomic(0))
    var first = 0
    for (place, view) in views.enumerated() {
      (start + place).initialize(
        to: cfuse_archive(
          file: view.file, count: UInt32(view.count), present: view.present.assumingMemoryBound(to: UInt8.self),
          ends: view.ends.assumingMemoryBound(to: UInt8.self), stride: view.stride, refused: view.refused.assumingMemoryBound(to: UInt8.self),
          touched: touched + first))
      first += view.count
    }
  }

  deinit {
    free(ahead)
    start.deallocate()
    touched.deallocate()
    number.deallocate()
  }

  /// Reads that were answered without us.
  var answered: UInt64 { number.pointee.load(ordering: .relaxed) }
  var answeredPlace: UnsafeMutablePointer<UInt64> { UnsafeMutableRawPointer(number).assumingMemoryBound(to: UInt64.self) }
}
