import DaemonConfiguration
import Logging
import Protocols
import Synchronization

/// Runs a collection soon after something was let go, one at a time; requests that come meanwhile are answered by one more run.
final class GarbageScheduler: Sendable {
  private enum Phase { case idle, running, runningAndWanted }

  private let metadata: any MetadataStore
  private let delays: Configuration.Collection
  private let logger: Logger
  private let phase = Mutex(Phase.idle)

  init(metadata: any MetadataStore, delays: Configuration.Collection, logger: Logger) {
    self.metadata = metadata
    self.delays = delays
    self.logger = logger
  }

  /// The first collection: what an earlier daemon was killed over.
  func begin() {
    Task.detached {
      // Only cancellation ends the sleep early, and nobody cancels this.
      try? await Task.sleep(for: self.delays.startupDelay)
      self.schedule()
    }
  }

  func schedule() {
    let start = phase.withLock { phase in
      defer { phase = phase == .idle ? .running : .runningAndWanted }
      return phase == .idle
    }
    if start { Task.detached { await self.run() } }
  }

  private func run() async {
    while true {
      do {
        try await Task.sleep(for: delays.scheduleDelay)
        let report = try await metadata.collectGarbage()
        if report != GarbageReport() {
          logger.debug("collected", metadata: ["content": "\(report.content)", "snapshots": "\(report.snapshots)", "leases": "\(report.leases)"])
        }
      } catch { logger.warning("garbage collection: \(error)") }
      let again = phase.withLock { phase in
        defer { phase = phase == .runningAndWanted ? .running : .idle }
        return phase == .runningAndWanted
      }
      if !again { return }
    }
  }
}
