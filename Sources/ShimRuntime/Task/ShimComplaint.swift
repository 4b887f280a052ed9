import Protocols

/// Gives a class to the errors that shims of containerd 1.x send without one.
///
/// They answer a call that does not fit the process's state with code "unknown" and one of a fixed set of sentences, such as
/// "cannot delete a running process" (containerd, pkg/process/init_state.go); later ones say failed precondition.
enum ShimComplaint {
  private static let states: Set<Substring> = ["created", "running", "paused", "stopped", "deleted"]

  static func classified(_ error: any Error, _ what: String) -> ContainerdError {
    let error = ContainerdError(classifying: error, what)
    guard error.code == .unknown, error.message.hasPrefix("cannot "), !states.isDisjoint(with: error.message.split(separator: " ")) else {
      return error
    }
    return .failedPrecondition(error.message)
  }
}
