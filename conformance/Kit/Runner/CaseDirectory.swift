import CLinux
import SystemKit

/// The directory of one case on disk: where its worker works, inside a ring of files that nobody may touch.
///
///     c0042/
///       .sentinel  a/.sentinel  zz/.sentinel      must survive
///       log                                       what the worker printed
///       tmp/                                      TMPDIR of the worker
///       work/                                     the workspaces
struct CaseDirectory {
  let path: String
  var work: String { path + "/work" }
  var temporary: String { path + "/tmp" }
  var log: String { path + "/log" }
  private static let sentinels = [".sentinel", "a/.sentinel", "zz/.sentinel"]
  private static let contents = Array("This file must survive every case.\n".utf8)

  init(_ path: String) throws {
    self.path = path
    for directory in ["", "/a", "/zz", "/tmp", "/work"] { try Files.makeDirectories(path + directory) }
    for name in Self.sentinels { try Files.writeAtomically(Self.contents, to: "\(path)/\(name)") }
  }

  /// The sentinels that are gone or changed.
  func damaged() -> [String] {
    Self.sentinels.compactMap { name in
      do {
        if try Files.read("\(path)/\(name)") == Self.contents { return nil }
        return "\(path)/\(name), outside the workspace, was changed"
      } catch { return "\(path)/\(name), outside the workspace, is gone: \(error)" }
    }
  }

  /// Files that the case left in its TMPDIR.
  func leftovers() -> [String] {
    do { return try Files.names(in: temporary).sorted().map { "temporary file \($0) left in TMPDIR" } } catch { return ["TMPDIR is gone: \(error)"] }
  }

  /// The end of the log, as text.
  func logTail(limit: Int = 4000) -> String {
    do { return String(decoding: try Files.read(log, limit: 64 << 20).suffix(limit), as: UTF8.self) } catch { return "no log: \(error)" }
  }

  /// nil if it is gone. What cannot be removed says what a case left behind: a mount, an immutable file.
  func remove() -> String? {
    for _ in 0..<3 {
      do {
        try Files.removeTree(path)
        return nil
      } catch {
        if error.errno != EBUSY && error.errno != ENOTEMPTY { return "cannot be removed: \(error)" }
        usleep(50_000)
      }
    }
    return "\(path) cannot be removed: something is mounted in it or still writes to it"
  }
}
