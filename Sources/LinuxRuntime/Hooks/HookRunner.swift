import CInit
import CLinux
import SystemKit

/// Hooks that run in the runtime's own namespaces.
enum HookRunner {
  static func run(_ hooks: [HooksSpec.Hook], kind: String, state: [UInt8]) throws(RuntimeError) {
    for hook in hooks {
      let plan = Plan()
      var status: Int32 = 0
      let result = state.withUnsafeBytes {
        cinit_run_hook(
          hook.path, plan.list(hook.args), plan.list(hook.env), $0.baseAddress, UInt64($0.count), hook.timeout ?? 0, &status)
      }
      if result < 0 { throw failure(kind: kind, path: hook.path, error: -result, status: status) }
      if status != 0 { throw failure(kind: kind, path: hook.path, error: ECANCELED, status: status) }
    }
  }

  static func failure(kind: String, path: String, error: Int32, status: Int32) -> RuntimeError {
    RuntimeError(.system, "\(kind) hook \(path): \(reason(error: error, status: status))")
  }

  static func reason(error: Int32, status: Int32) -> String {
    if error == ETIMEDOUT { return "did not end in time and was killed" }
    if error != ECANCELED { return SystemError(errno: error, operation: "", object: "").reason }
    return clinux_wifexited(status) != 0 ? "exit status \(clinux_wexitstatus(status))" : "killed by signal \(clinux_wtermsig(status))"
  }
}
