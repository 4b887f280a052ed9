import CLinux
import Protocols
import SystemKit

extension ContainerdError {
  /// The error as the runtime's callers expect it: in one of containerd's classes.
  init(classifying error: any Error, _ what: String) {
    switch error {
    case let error as ContainerdError: self = error
    case is CancellationError: self.init(.canceled, what)
    case let error as SystemError where error.errno == ENOSPC || error.errno == EMFILE || error.errno == ENFILE || error.errno == ENOMEM:
      self.init(.resourceExhausted, "\(what): \(error)")
    case let error as SystemError where error.errno == EACCES || error.errno == EPERM:
      self.init(.permissionDenied, "\(what): \(error)")
    default: self.init(.internalError, "\(what): \(error)")
    }
  }
}
