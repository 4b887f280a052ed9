import CLinux
import ConformanceSuites
import SystemKit

/// GNU tar of this machine: a second opinion on what an archive holds.
package enum TarProgram {
  private static let path = "/bin/tar"

  /// Extracts the archive with everything that tar keeps. Blocking, on a thread whose umask is its own. A `CaseSkipped` says that there is no such program.
  package static func extract(_ archive: [UInt8], into directory: String) throws {
    guard access(path, X_OK) == 0 else { throw CaseSkipped(.tool, "GNU tar is not installed as \(path)") }
    umask(0o022)
    let input = try memory("archive")
    try archive.withUnsafeBytes { try Files.writeAll($0, to: input, path: "the archive in memory") }
    let said = try memory("words")
    // The child opens them anew, at their beginning, before its own are closed.
    var tar = Program(
      words: [
        path, "--extract", "--file=-", "--preserve-permissions", "--same-owner", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--warning=no-timestamp",
      ])
    tar.stdin = "/proc/self/fd/\(input.raw)"
    tar.stderr = "/proc/self/fd/\(said.raw)"
    tar.directory = directory
    let pid = try tar.spawn()
    guard let code = try Children.end(of: pid, within: 30) else {
      kill(pid, SIGKILL)
      _ = try Children.end(of: pid, within: 5)
      throw SuiteError("tar does not end")
    }
    if code != 0 { throw SuiteError("tar ended with \(code): \(contents("/proc/self/fd/\(said.raw)"))") }
  }

  private static func memory(_ name: String) throws -> OwnedFD {
    let descriptor = memfd_create(name, UInt32(MFD_CLOEXEC))
    if descriptor < 0 { throw SystemError.last("memfd_create", name) }
    return OwnedFD(adopting: descriptor)
  }
}
