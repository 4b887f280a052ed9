import CLinux

/// Open files of a script. A number that is no descriptor (-1) is handed on: what is done with it comes to EBADF, and is written down.
extension Place {
  package func open(_ name: String, _ flags: Int32, mode: mode_t = 0o644) -> Int32 {
    let file = calls.open(path(name), flags, mode)
    note("open \(name.isEmpty ? "the root" : name), flags \(String(flags, radix: 8))", file < 0 ? Self.errorName() : "ok")
    return file
  }
  package func close(_ file: Int32) { if file >= 0 { note("close") { calls.close(file) } } }

  @discardableResult package func write(_ file: Int32, _ text: String) -> String {
    note("write \(shown(text)) to the open file", Self.count(Array(text.utf8).withUnsafeBytes { calls.write(file, $0) }))
  }
  /// From where the file stands to its end.
  @discardableResult package func read(_ file: Int32) -> String { note("read the open file to its end", contents(of: file)) }
  @discardableResult package func readAgain(_ file: Int32) -> String {
    _ = calls.seek(file, 0, Int32(SEEK_SET))
    return note("read the open file from its start", contents(of: file))
  }
  @discardableResult package func seek(_ file: Int32, _ offset: Int, _ whence: Int32) -> String {
    note("seek to \(offset), whence \(whence)", Self.count(calls.seek(file, offset, whence)))
  }
  @discardableResult package func truncate(_ file: Int32, to size: Int) -> String { note("truncate the open file to \(size)") { calls.ftruncate(file, size) } }
  @discardableResult package func sync(_ file: Int32) -> String { note("fsync") { calls.fsync(file) } }
  @discardableResult package func chmod(_ file: Int32, _ mode: mode_t) -> String { note("chmod the open file to \(octal(mode))") { calls.fchmod(file, mode) } }
  @discardableResult package func flock(_ file: Int32, _ how: Int32, _ which: String) -> String { note("flock \(which), \(how)") { calls.flock(file, how) } }
  @discardableResult package func stat(_ file: Int32) -> String {
    var status = CLinux.stat()
    return note("stat the open file", calls.fstat(file, &status) < 0 ? Self.errorName() : Self.describe(status))
  }

  private static func count(_ result: Int) -> String { result < 0 ? errorName() : "\(result)" }

  func contents(of file: Int32) -> String {
    var all: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = chunk.withUnsafeMutableBytes { calls.read(file, $0) }
      if count < 0 { return Self.errorName() }
      if count == 0 { return shown(bytes: all) }
      all += chunk[..<count]
      if all.count > 64 << 20 { return "no end within 64 MiB" }
    }
  }
}
