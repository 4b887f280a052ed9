import CLinux
import Protocols
import SystemKit

/// Finds the shim for the runtime that a container asks for.
struct ShimBinary: Sendable {
  var shims: [String: String]
  /// The directory of the daemon's executable, then those of PATH.
  var directories: [String]

  init(configuration: ShimRuntime.Configuration, searchPath: String) {
    shims = configuration.shims
    directories = [Files.parent(of: configuration.executable)] + searchPath.split(separator: ":").map(String.init)
  }

  /// The absolute path of the program. `invalidArgument` if the name means nothing or the program is not there. Blocking.
  func path(for runtime: String) throws(ContainerdError) -> String {
    let wanted = try Self.program(for: runtime, shims: shims)
    if wanted.hasPrefix("/") {
      if Self.isExecutable(wanted) { return wanted }
      throw .invalidArgument("runtime \"\(runtime)\": \(wanted) is not an executable file")
    }
    for directory in directories where directory.hasPrefix("/") {
      let candidate = "\(directory)/\(wanted)"
      if Self.isExecutable(candidate) { return candidate }
    }
    throw .invalidArgument("runtime \"\(runtime)\": shim \(wanted) is in none of \(directories.joined(separator: ", "))")
  }

  /// A path, or a file name to be looked for: what the map says; an absolute path itself; `a.b.NAME.vN` is
  /// `containerd-shim-NAME-vN`.
  static func program(for runtime: String, shims: [String: String]) throws(ContainerdError) -> String {
    if let mapped = shims[runtime] { return mapped }
    if runtime.hasPrefix("/") {
      if runtime.split(separator: "/").contains("..") { throw .invalidArgument("runtime path \"\(runtime)\" contains \"..\"") }
      return runtime
    }
    let parts = runtime.split(separator: ".", omittingEmptySubsequences: false)
    guard runtime.utf8.allSatisfy(isLegal), parts.count >= 2, parts.allSatisfy({ !$0.isEmpty }) else {
      throw .invalidArgument("runtime \"\(runtime)\" is neither a name like io.containerd.runc.v2 nor an absolute path")
    }
    return "containerd-shim-\(parts[parts.count - 2])-\(parts[parts.count - 1])"
  }

  /// Letters, digits, '-', '.', '_': what a file name may safely be made of.
  private static func isLegal(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
    default: false
    }
  }

  private static func isExecutable(_ path: String) -> Bool {
    var info = stat()
    return stat(path, &info) == 0 && info.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG) && access(path, X_OK) == 0
  }
}
