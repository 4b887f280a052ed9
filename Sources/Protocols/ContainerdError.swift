/// What every layer throws: one of containerd's error classes, and a sentence that names the object and the cause.
///
/// The class is what programs act on; the message is what an operator reads. On the wire the class becomes a gRPC status code
/// (one mapping, in GRPCFrontend) and the message ends with the class's words, because Go clients strip that suffix
/// (containerd, package errdefs).
public struct ContainerdError: Error, Hashable, Sendable, CustomStringConvertible {
  public let code: Code
  /// Object and cause, without the class's words: `content sha256:…`.
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// containerd's classes. `rawValue` is the class's own words, as they end a message.
  public enum Code: String, Hashable, Sendable, CaseIterable {
    case invalidArgument = "invalid argument"
    case notFound = "not found"
    case alreadyExists = "already exists"
    case failedPrecondition = "failed precondition"
    case unavailable = "unavailable"
    case notImplemented = "not implemented"
    case permissionDenied = "permission denied"
    case resourceExhausted = "resource exhausted"
    case aborted = "aborted"
    case outOfRange = "out of range"
    case canceled = "context canceled"
    case deadlineExceeded = "context deadline exceeded"
    case unauthenticated = "unauthenticated"
    case internalError = "internal"
    case dataLoss = "data loss"
    case unknown = "unknown"
  }

  /// `content sha256:…: not found`
  public var description: String { "\(message): \(code.rawValue)" }

  public static func notFound(_ message: String) -> Self { .init(.notFound, message) }
  public static func alreadyExists(_ message: String) -> Self { .init(.alreadyExists, message) }
  public static func invalidArgument(_ message: String) -> Self { .init(.invalidArgument, message) }
  public static func failedPrecondition(_ message: String) -> Self { .init(.failedPrecondition, message) }
  public static func unavailable(_ message: String) -> Self { .init(.unavailable, message) }
  public static func notImplemented(_ message: String) -> Self { .init(.notImplemented, message) }
  public static func outOfRange(_ message: String) -> Self { .init(.outOfRange, message) }
  public static func dataLoss(_ message: String) -> Self { .init(.dataLoss, message) }
  public static func internalError(_ message: String) -> Self { .init(.internalError, message) }
}
