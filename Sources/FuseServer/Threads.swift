import Glibc

/// Threads that do nothing but wait in the kernel.
enum Thread {
  private final class Box {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  /// - Returns: what went wrong; nil if it runs.
  static func detached(_ name: String, _ body: @escaping @Sendable () -> Void) -> String? {
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    let status = pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
        return nil
      }, box.toOpaque())
    if status != 0 {
      box.release()
      return "\(name): pthread_create gave \(status)"
    }
    pthread_detach(thread)
    return nil
  }
}
