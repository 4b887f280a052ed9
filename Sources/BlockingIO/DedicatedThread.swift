import Glibc

/// A thread for one piece of work, gone when the work is done: for work that changes the thread itself, such as entering a mount namespace.
public enum DedicatedThread {
  private final class Work {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
  }

  /// Starts a thread that nobody waits for: one that waits in the kernel itself, as long as it has somebody to serve.
  /// - Returns: 0, or the error number of pthread_create(3).
  public static func detach(_ body: @escaping @Sendable () -> Void) -> Int32 {
    let work = Unmanaged.passRetained(Work(body))
    var thread = pthread_t()
    let failure = pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body() }
        return nil
      }, work.toOpaque())
    if failure != 0 { work.release() } else { pthread_detach(thread) }
    return failure
  }

  public static func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      let work = Unmanaged.passRetained(Work { continuation.resume(with: Result(catching: body)) })
      var thread = pthread_t()
      let failure = pthread_create(
        &thread, nil,
        { argument in
          guard let argument else { return nil }
          Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
          return nil
        }, work.toOpaque())
      if failure != 0 {
        work.release()
        continuation.resume(throwing: ThreadError(errno: failure))
      } else {
        pthread_detach(thread)
      }
    }
  }
}

public struct ThreadError: Error, CustomStringConvertible {
  public let errno: Int32
  public var description: String { "pthread_create: \(String(cString: strerror(errno)))" }
}
