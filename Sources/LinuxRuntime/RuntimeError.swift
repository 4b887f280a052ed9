import SystemKit

/// Why the runtime refused or failed; the message names the object and the cause and is fit to show to a user.
public struct RuntimeError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Kind: String, Sendable {
    /// The request or the configuration is wrong; nothing was changed.
    case invalid
    /// No such container, file or program.
    case notFound
    /// The container id is taken.
    case alreadyExists
    /// The operation does not fit the container's state.
    case wrongState
    /// The system refused.
    case system
  }

  public let kind: Kind
  public let message: String

  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  /// A system failure in a larger step; "no such file" keeps its kind.
  public init(_ error: SystemError, doing what: String) {
    self.init(.system, "\(what): \(error)")
  }

  public var description: String { message }
}

/// Runs system-level work and says which step of the runtime it belonged to.
func during<T: ~Copyable>(_ what: @autoclosure () -> String, _ body: () throws(SystemError) -> T) throws(RuntimeError) -> T {
  do { return try body() } catch { throw RuntimeError(error, doing: what()) }
}
