import Dispatch

/// Waited for by threads that may be blocked, raised once.
package final class Flag: Sendable {
  private let semaphore = DispatchSemaphore(value: 0)
  package init() {}
  package func raise() { semaphore.signal() }
  package func wait() {
    semaphore.wait()
    semaphore.signal()
  }
}
