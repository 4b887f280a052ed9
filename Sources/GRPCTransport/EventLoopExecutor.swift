import NIOCore

/// Runs tasks on an event loop: an RPC then needs no hop between threads, which halves its latency.
///
/// Consequence: whatever runs on it must never block.
public final class EventLoopExecutor: TaskExecutor {
  private let loop: any EventLoop

  public init(loop: any EventLoop) { self.loop = loop }

  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let executor = asUnownedTaskExecutor()
    loop.execute { job.runSynchronously(on: executor) }
  }
}
