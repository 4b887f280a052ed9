import CLinux
import Protocols
import SystemKit

/// Where the streams of a process lead, and the FIFOs if there are any.
struct TaskStreams: Sendable {
  let io: TaskIO
  private let directory: String?

  /// In the foreground FIFOs of our own in a directory that nobody else may enter; detached, the log or nowhere.
  init(id: String, logURI: String?, detached: Bool, terminal: Bool, directory parent: String) throws {
    let log = logURI.map { $0.hasPrefix("/") ? "file://\($0)" : $0 } ?? ""
    if detached {
      io = TaskIO(stdout: log, stderr: terminal ? "" : log, terminal: terminal)
      directory = nil
      return
    }
    try Files.makeDirectories(parent, mode: 0o711)
    var template = Array("\(parent)/XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp", parent) }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    directory = path
    var fifos = TaskIO(stdin: "\(path)/\(id)-stdin", stdout: "\(path)/\(id)-stdout", stderr: "\(path)/\(id)-stderr", terminal: terminal)
    // A terminal is one stream for both.
    if terminal { fifos.stderr = "" }
    if !log.isEmpty { (fifos.stdout, fifos.stderr) = (log, log) }
    io = fifos
    do {
      for fifo in [io.stdin, io.stdout, io.stderr] where fifo.hasPrefix("\(path)/") { try check("mkfifo", fifo) { mkfifo(fifo, 0o600) } }
    } catch {
      try remove()
      throw error
    }
  }

  func remove() throws(SystemError) { if let directory { try Files.removeTree(directory) } }
}
