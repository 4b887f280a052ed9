import CArchive
import CLinux
import Protocols
import SystemKit

/// Writes a pax archive through libarchive into a sink.
final class TarWriter {
  private let archive: OpaquePointer

  private final class Context {
    let sink: LayerSink
    var failure: (any Error)?
    init(_ sink: LayerSink) { self.sink = sink }
  }
  private let context: Context

  private init(_ archive: OpaquePointer, _ context: Context) {
    self.archive = archive
    self.context = context
  }

  static func write(into sink: LayerSink, _ body: (TarWriter) throws -> Void) throws {
    guard let archive = archive_write_new() else { throw ContainerdError(.resourceExhausted, "libarchive: no memory for a writer") }
    defer { archive_write_free(archive) }
    // Full pax: the restricted form drops fractions of seconds.
    archive_write_set_format_pax(archive)
    archive_write_set_bytes_per_block(archive, 0)
    let context = Context(sink)
    try withExtendedLifetime(context) {
      let opened = archive_write_open(
        archive, Unmanaged.passUnretained(context).toOpaque(), nil,
        { _, data, bytes, count in
          guard let data else { return -1 }
          let context = Unmanaged<Context>.fromOpaque(data).takeUnretainedValue()
          do {
            try context.sink.write(UnsafeRawBufferPointer(start: bytes, count: count))
            return count
          } catch {
            context.failure = error
            return -1
          }
        }, nil)
      let writer = TarWriter(archive, context)
      try writer.succeeded(opened)
      try body(writer)
      try writer.succeeded(archive_write_close(archive))
    }
  }

  /// An empty regular file: the mark of a deletion.
  func whiteout(_ path: EntryPath) throws {
    try withEntry(path) { entry in
      archive_entry_set_filetype(entry, 0o100000)
      archive_entry_set_perm(entry, 0)
      archive_entry_set_size(entry, 0)
      archive_entry_set_mtime(entry, 0, 0)
      try succeeded(archive_write_header(archive, entry))
    }
  }

  func hardLink(_ path: EntryPath, to first: EntryPath, _ status: stat) throws {
    try withEntry(path) { entry in
      describe(entry, status)
      archive_entry_set_hardlink(entry, first.cString)
      archive_entry_set_size(entry, 0)
      try succeeded(archive_write_header(archive, entry))
    }
  }

  func entry(_ path: EntryPath, _ name: [CChar], in directory: TreeDirectory, _ status: stat) throws {
    try withEntry(path) { entry in
      describe(entry, status)
      for (attribute, value) in try directory.attributes(name).sorted(by: { $0.key < $1.key }) {
        value.withUnsafeBytes { archive_entry_xattr_add_entry(entry, attribute, $0.baseAddress, $0.count) }
      }
      switch status.st_mode & 0o170000 {
      case 0o120000:
        archive_entry_set_symlink(entry, try directory.linkTarget(name))
        try succeeded(archive_write_header(archive, entry))
      case 0o100000:
        archive_entry_set_size(entry, Int64(status.st_size))
        try succeeded(archive_write_header(archive, entry))
        try copy(directory.open(name), directory.text(name), size: Int64(status.st_size))
      default:
        try succeeded(archive_write_header(archive, entry))
      }
    }
  }

  private func describe(_ entry: OpaquePointer, _ status: stat) {
    archive_entry_set_filetype(entry, UInt32(status.st_mode & 0o170000))
    archive_entry_set_perm(entry, status.st_mode & 0o7777)
    archive_entry_set_uid(entry, Int64(status.st_uid))
    archive_entry_set_gid(entry, Int64(status.st_gid))
    let (seconds, nanoseconds) = Self.written(status.st_mtim)
    archive_entry_set_mtime(entry, seconds, nanoseconds)
    let kind = status.st_mode & 0o170000
    if kind == 0o020000 || kind == 0o060000 {
      archive_entry_set_rdevmajor(entry, dev_t(clinux_major(status.st_rdev)))
      archive_entry_set_rdevminor(entry, dev_t(clinux_minor(status.st_rdev)))
    }
  }

  /// libarchive writes seconds, a point, and nanoseconds, the sign of the seconds before all of it. What it cannot write, the fractions
  /// of the last second before 1970, is cut.
  private static func written(_ time: timespec) -> (Int, Int) {
    if time.tv_sec >= 0 || time.tv_nsec == 0 { return (time.tv_sec, time.tv_nsec) }
    return time.tv_sec == -1 ? (-1, 0) : (time.tv_sec + 1, 1_000_000_000 - time.tv_nsec)
  }

  /// Exactly the size that the header says: a file that changes under us is an error, not a broken archive.
  private func copy(_ descriptor: borrowing OwnedFD, _ file: String, size: Int64) throws {
    let raw = descriptor.raw
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    var left = size
    while left > 0 {
      let wanted = Int(min(left, Int64(buffer.count)))
      let count = try check("read", file) { read(raw, &buffer, wanted) }
      if count == 0 { throw ContainerdError.aborted("\(file) shrank while it was being read") }
      let written = buffer.withUnsafeBytes { archive_write_data(archive, $0.baseAddress, count) }
      if written != count { throw failure() }
      left -= Int64(count)
    }
  }

  private func withEntry(_ path: EntryPath, _ body: (OpaquePointer) throws -> Void) throws {
    guard let entry = archive_entry_new() else { throw ContainerdError(.resourceExhausted, "libarchive: no memory for an entry") }
    defer { archive_entry_free(entry) }
    archive_entry_set_pathname(entry, path.cString)
    try body(entry)
  }

  private func succeeded(_ status: Int32) throws { if status < ARCHIVE_WARN { throw failure() } }

  private func failure() -> any Error {
    context.failure ?? ContainerdError(.unknown, "archive: \(archive_error_string(archive).map { String(cString: $0) } ?? "unknown cause")")
  }
}

extension ContainerdError {
  static func aborted(_ message: String) -> Self { .init(.aborted, message) }
}
