import Dispatch
import Foundation

/// Threads that see the mounts of the thread that starts them: those of a pool do not.
enum OwnThreads {
  /// Runs the body on so many threads at once, and waits for all of them.
  static func run(_ count: Int, _ body: @escaping @Sendable (_ number: Int) -> Void) {
    let left = DispatchGroup()
    for number in 0..<count {
      left.enter()
      Thread.detachNewThread {
        body(number)
        left.leave()
      }
    }
    left.wait()
  }
}
