import Dispatch

/// Where blocking system calls run: threads of its own, never the cooperative pool.
///
/// At most `width` calls run at once; further ones wait in line. Safe to use from any task.
public final class BlockingPool: Sendable {
  private let queue: DispatchQueue
  private let slots: Slots

  public init(label: String, width: Int = 16) {
    self.queue = DispatchQueue(label: label, attributes: .concurrent)
    self.slots = Slots(free: width)
  }

  public func run<Value: Sendable, Failure: Error>(
    _ body: @escaping @Sendable () throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    await slots.take()
    let result: Result<Value, Failure> = await withCheckedContinuation { continuation in
      queue.async { continuation.resume(returning: Result(catching: body)) }
    }
    await slots.give()
    return try result.get()
  }
}

/// A counting semaphore whose waiters are suspended tasks, not blocked threads.
private actor Slots {
  private var free: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []

  init(free: Int) { self.free = free }

  func take() async {
    if free > 0 {
      free -= 1
    } else {
      await withCheckedContinuation { waiting.append($0) }
    }
  }

  func give() {
    if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
  }
}
