import CLinux

/// A system call that failed: which one, on what, and why.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
  public let errno: Int32
  /// The call as the man pages name it: "openat2", "mount".
  public let operation: String
  /// The object it was about: a path, a key, "pid 12".
  public let object: String

  public init(errno: Int32, operation: String, object: String) {
    self.errno = errno
    self.operation = operation
    self.object = object
  }

  /// The error of the call that has just returned -1 on this thread.
  public static func last(_ operation: String, _ object: String) -> SystemError {
    SystemError(errno: clinux_errno(), operation: operation, object: object)
  }

  public var description: String { "\(operation) \(object): \(reason)" }

  /// The kernel's words for the error number, without the call and the object.
  public var reason: String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
      clinux_strerror(errno, buffer.baseAddress!, buffer.count)
      return String(cString: buffer.baseAddress!)
    }
  }
}

/// Repeats a call while a signal interrupts it; -1 becomes a `SystemError`.
@discardableResult
@inline(__always)
public func check<Result: FixedWidthInteger & SignedInteger>(
  _ operation: @autoclosure () -> String, _ object: @autoclosure () -> String, _ call: () -> Result
) throws(SystemError) -> Result {
  while true {
    let result = call()
    if result != -1 { return result }
    if clinux_errno() == EINTR { continue }
    throw SystemError.last(operation(), object())
  }
}
