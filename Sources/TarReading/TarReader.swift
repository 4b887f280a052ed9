import CArchive
import CLinux
import Protocols

/// Hands out the entries of a tar archive, one after another, over libarchive, which gets decompressed bytes only. Blocks as its source does.
public enum TarReader {
  /// Gives the next bytes of the archive, never empty, valid until the next call; nil at the end.
  public typealias Source = () throws -> UnsafeRawBufferPointer?

  /// One entry, valid during the call. `readData` delivers its data as (bytes, offset) and may be called once.
  public struct Entry {
    fileprivate let archive: OpaquePointer
    /// libarchive's `archive_entry`.
    public let header: OpaquePointer
    /// As bytes; `path` is the same for messages.
    public let name: UnsafePointer<CChar>
    /// Target of a hard link.
    public let hardLink: UnsafePointer<CChar>?
    /// Target of a symbolic link, nil where the archive has none.
    public let symlink: UnsafePointer<CChar>?
    /// Where in the archive its data begin: behind its headers, which are all that libarchive has taken so far.
    public let place: Int64
    public var path: String { String(cString: name) }

    public func readData(_ body: (UnsafeRawBufferPointer, Int64) throws -> Void) throws {
      while true {
        var pointer: UnsafeRawPointer?
        var count = 0
        var offset: la_int64_t = 0
        let status = archive_read_data_block(archive, &pointer, &count, &offset)
        if status == ARCHIVE_EOF { return }
        if status != ARCHIVE_OK && status != ARCHIVE_WARN { throw broken(archive, "entry \"\(path)\"") }
        if count > 0 { try body(UnsafeRawBufferPointer(start: pointer, count: count), offset) }
      }
    }
  }

  private final class Context {
    private static let block = 512
    private let source: Source
    private let padding = UnsafeMutableRawBufferPointer.allocate(byteCount: block, alignment: 16)
    private var given: Int64 = 0
    private var isOver = false
    /// Where the data of the present entry end, if that can be told from its header.
    var dataEnd: Int64?
    var failure: (any Error)?
    /// libarchive does not give every name as it is.
    var names = PaxNames()

    init(_ source: @escaping Source) {
      self.source = source
      padding.initializeMemory(as: UInt8.self, repeating: 0)
    }
    deinit { padding.deallocate() }

    /// The next bytes. Some writers end with the last file's data, without the zeros that fill the block and mark the end: those are put there. What ends
    /// within a file's data is cut off all the same.
    func next() throws -> UnsafeRawBufferPointer? {
      if isOver { return nil }
      if let bytes = try source() {
        names.watch(bytes)
        given += Int64(bytes.count)
        return bytes
      }
      isOver = true
      let missing = (Self.block - Int(given % Int64(Self.block))) % Self.block
      guard missing > 0, let dataEnd, given >= dataEnd, given - dataEnd < Int64(Self.block) else { return nil }
      return UnsafeRawBufferPointer(rebasing: padding[0..<missing])
    }
  }

  /// - Throws: what the source throws, or `invalidArgument` with the place that is no archive.
  public static func forEachEntry(of source: @escaping Source, _ body: (Entry) throws -> Void) throws {
    try UnchangedNames.during { try read(source, body) }
  }

  private static func read(_ source: @escaping Source, _ body: (Entry) throws -> Void) throws {
    guard let archive = archive_read_new() else { throw ContainerdError(.resourceExhausted, "libarchive: no memory for a reader") }
    defer { archive_read_free(archive) }
    archive_read_support_format_tar(archive)
    archive_read_support_format_empty(archive)
    let context = Context(source)
    let opened = withExtendedLifetime(context) {
      archive_read_open(
        archive, Unmanaged.passUnretained(context).toOpaque(), nil,
        { _, data, buffer in
          guard let data else { return -1 }
          let context = Unmanaged<Context>.fromOpaque(data).takeUnretainedValue()
          do {
            let next = try context.next()
            clinux_set_errno(0)
            guard let bytes = next else { return 0 }
            buffer?.pointee = bytes.baseAddress
            return bytes.count
          } catch {
            context.failure = error
            return -1
          }
        }, nil)
    }
    try withExtendedLifetime(context) {
      if opened != ARCHIVE_OK { throw context.failure ?? broken(archive, "archive") }
      while true {
        var header: OpaquePointer?
        // A name that is no UTF-8 is a warning, unless ENOMEM stands there from before: then libarchive takes it for want of memory.
        clinux_set_errno(0)
        let status = archive_read_next_header(archive, &header)
        if status == ARCHIVE_EOF { return }
        // A header with a wrong checksum is ARCHIVE_RETRY to libarchive, as if one could read on behind it.
        if status != ARCHIVE_OK && status != ARCHIVE_WARN { throw context.failure ?? broken(archive, "archive") }
        guard let header else { continue }
        let place = archive_filter_bytes(archive, 0)
        let names = context.names.entry(at: place)
        defer { withExtendedLifetime(names) {} }
        guard let name = names?.path?.pointer.constant ?? archive_entry_pathname(header) ?? archive_entry_pathname_utf8(header) else {
          throw ContainerdError.invalidArgument("archive has an entry whose name cannot be read")
        }
        let (ours, isHardLink) = (names?.link?.pointer.constant, names?.isHardLink ?? false)
        let link = (isHardLink ? ours : nil) ?? archive_entry_hardlink(header) ?? archive_entry_hardlink_utf8(header)
        let target = (isHardLink ? nil : ours) ?? archive_entry_symlink(header) ?? archive_entry_symlink_utf8(header)
        context.dataEnd = archive_entry_sparse_count(header) > 0 ? nil : place + (link == nil ? archive_entry_size(header) : 0)
        do {
          try body(Entry(archive: archive, header: header, name: name, hardLink: link, symlink: target, place: place))
        } catch { throw context.failure ?? error }
      }
    }
  }

  private static func broken(_ archive: OpaquePointer, _ what: String) -> ContainerdError {
    let reason = archive_error_string(archive).map { String(cString: $0) } ?? "unknown cause"
    return .invalidArgument("\(what) near byte \(archive_filter_bytes(archive, 0)) of the archive: \(reason)")
  }
}

extension UnsafeMutablePointer {
  fileprivate var constant: UnsafePointer<Pointee> { UnsafePointer(self) }
}
