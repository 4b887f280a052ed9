import CFuse
import Dispatch
import Synchronization

/// Gives the kernel the small files that lie beside one that was read, before they are asked for: a request costs more than the bytes.
///
/// What is given, and when, is the C side's: this is the thread on which it happens, one that answers no reads.
final class Neighbours: @unchecked Sendable {
  private let queue = DispatchQueue(label: "fuse neighbours")
  /// Used on the queue alone.
  private let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: Int(CFUSE_SMALL))
  private let given = Atomic<UInt64>(0)
  /// Files that the kernel took.
  var count: UInt64 { given.load(ordering: .relaxed) }

  deinit { buffer.deallocate() }

  /// Until what is being given now is. Blocking.
  func wait() { queue.sync {} }

  /// Returns at once.
  func push(_ directory: UInt32, with session: FuseSession, then done: @escaping @Sendable () -> Void) {
    queue.async { [self] in
      given.add(UInt64(session.push(directory, buffer)), ordering: .relaxed)
      done()
    }
  }
}
