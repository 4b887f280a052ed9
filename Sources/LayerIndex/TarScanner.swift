import CArchive
import Hashing
import Protocols

/// Lists the entries of a tar archive with the places of their bytes, while the archive passes by. libarchive reads the headers.
enum TarScanner {
  private final class Context {
    let next: () throws -> UnsafeRawBufferPointer?
    var failure: (any Error)?
    init(_ next: @escaping () throws -> UnsafeRawBufferPointer?) { self.next = next }
  }

  /// Reads the archive as far as its end mark. Names are those of the archive, whatever they are.
  static func entries(of next: @escaping () throws -> UnsafeRawBufferPointer?) throws -> [LayerIndex.Entry] {
    guard let archive = archive_read_new() else { throw ContainerdError(.resourceExhausted, "libarchive: no memory for a reader") }
    defer { archive_read_free(archive) }
    archive_read_support_format_tar(archive)
    archive_read_support_format_empty(archive)
    let context = Context(next)
    return try withExtendedLifetime(context) {
      let opened = archive_read_open(
        archive, Unmanaged.passUnretained(context).toOpaque(), nil,
        { _, data, buffer in
          guard let data else { return -1 }
          let context = Unmanaged<Context>.fromOpaque(data).takeUnretainedValue()
          do {
            guard let bytes = try context.next() else { return 0 }
            buffer?.pointee = bytes.baseAddress
            return bytes.count
          } catch {
            context.failure = error
            return -1
          }
        }, nil)
      if opened != ARCHIVE_OK { throw context.failure ?? broken(archive, "archive") }
      var entries: [LayerIndex.Entry] = []
      while true {
        var header: OpaquePointer?
        let status = archive_read_next_header(archive, &header)
        if status == ARCHIVE_EOF { return entries }
        if status != ARCHIVE_OK && status != ARCHIVE_WARN { throw context.failure ?? broken(archive, "archive") }
        guard let header else { continue }
        do { entries.append(try entry(archive, header)) } catch { throw context.failure ?? error }
      }
    }
  }

  private static func entry(_ archive: OpaquePointer, _ header: OpaquePointer) throws -> LayerIndex.Entry {
    // What libarchive has taken so far are the headers: the data begin here.
    let start = archive_filter_bytes(archive, 0)
    guard let name = archive_entry_pathname(header) ?? archive_entry_pathname_utf8(header) else {
      throw ContainerdError.invalidArgument("archive has an entry whose name cannot be read, near byte \(start)")
    }
    let hardLink = archive_entry_hardlink(header) ?? archive_entry_hardlink_utf8(header)
    let kind = try kind(header, isHardLink: hardLink != nil, String(cString: name))
    let (owner, group) = (archive_entry_uid(header), archive_entry_gid(header))
    guard let owner = UInt32(exactly: owner), let group = UInt32(exactly: group), owner < .max, group < .max else {
      throw ContainerdError.invalidArgument("entry \"\(String(cString: name))\": owner \(owner):\(group) is out of range")
    }
    var entry = LayerIndex.Entry(
      kind: kind, name: bytes(name), mode: UInt32(archive_entry_perm(header)) & 0o7777, owner: owner, group: group,
      seconds: Int64(archive_entry_mtime(header)), nanoseconds: Int32(clamping: archive_entry_mtime_nsec(header)))
    // libarchive reads "-2.25" as -2 and 0.25.
    if entry.seconds < 0, entry.nanoseconds > 0 { (entry.seconds, entry.nanoseconds) = (entry.seconds - 1, 1_000_000_000 - entry.nanoseconds) }
    if let hardLink { entry.link = bytes(hardLink) }
    if kind == .symlink, let target = archive_entry_symlink(header) ?? archive_entry_symlink_utf8(header) { entry.link = bytes(target) }
    if kind == .character || kind == .block {
      entry.major = UInt32(truncatingIfNeeded: archive_entry_rdevmajor(header))
      entry.minor = UInt32(truncatingIfNeeded: archive_entry_rdevminor(header))
    }
    entry.attributes = attributes(header)
    if kind == .file { try place(&entry, archive, header, from: start) }
    return entry
  }

  /// Where the file's bytes are, and their digest: holes of a sparse file take no place in the archive.
  private static func place(_ entry: inout LayerIndex.Entry, _ archive: OpaquePointer, _ header: OpaquePointer, from start: Int64) throws {
    entry.size = archive_entry_size(header)
    var place = start
    if archive_entry_sparse_reset(header) > 0 {
      var (offset, count): (la_int64_t, la_int64_t) = (0, 0)
      while archive_entry_sparse_next(header, &offset, &count) == ARCHIVE_OK {
        if count > 0 { entry.pieces.append(LayerIndex.Piece(offset: offset, place: place, count: count)) }
        place += count
      }
    } else if entry.size > 0 {
      entry.pieces = [LayerIndex.Piece(offset: 0, place: place, count: entry.size)]
    }
    var hasher = Hasher()
    var hashed: Int64 = 0
    func hashZeros(upTo end: Int64) {
      let zeros = [UInt8](repeating: 0, count: 64 << 10)
      while hashed < end {
        let count = min(Int64(zeros.count), end - hashed)
        zeros.withUnsafeBytes { hasher.update(UnsafeRawBufferPointer(rebasing: $0[0..<Int(count)])) }
        hashed += count
      }
    }
    while true {
      var pointer: UnsafeRawPointer?
      var count = 0
      var offset: la_int64_t = 0
      let status = archive_read_data_block(archive, &pointer, &count, &offset)
      if status == ARCHIVE_EOF { break }
      if status != ARCHIVE_OK && status != ARCHIVE_WARN { throw broken(archive, "entry \"\(entry.text)\"") }
      hashZeros(upTo: offset)
      if count > 0 { hasher.update(UnsafeRawBufferPointer(start: pointer, count: count)) }
      hashed = offset + Int64(count)
    }
    hashZeros(upTo: entry.size)
    entry.digest = hasher.digest()
  }

  private static func kind(_ header: OpaquePointer, isHardLink: Bool, _ name: String) throws -> LayerIndex.Entry.Kind {
    if isHardLink { return .hardlink }
    // S_IFMT's values (inode(7)): what archive_entry_filetype gives.
    return switch archive_entry_filetype(header) {
    case 0o100000: .file
    case 0o040000: .directory
    case 0o120000: .symlink
    case 0o020000: .character
    case 0o060000: .block
    case 0o010000: .fifo
    case let other: throw ContainerdError.invalidArgument("entry \"\(name)\" is of a kind that a layer cannot hold (\(String(other, radix: 8)))")
    }
  }

  private static func attributes(_ header: OpaquePointer) -> [LayerIndex.Attribute] {
    var attributes: [LayerIndex.Attribute] = []
    archive_entry_xattr_reset(header)
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var count = 0
    while archive_entry_xattr_next(header, &name, &value, &count) == ARCHIVE_OK {
      guard let name else { continue }
      attributes.append(LayerIndex.Attribute(name: String(cString: name), value: Array(UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : count))))
    }
    return attributes.sorted { $0.name < $1.name }
  }

  private static func bytes(_ text: UnsafePointer<CChar>) -> [UInt8] {
    var count = 0
    while text[count] != 0 { count += 1 }
    return Array(UnsafeRawBufferPointer(start: text, count: count))
  }

  private static func broken(_ archive: OpaquePointer, _ what: String) -> ContainerdError {
    let reason = archive_error_string(archive).map { String(cString: $0) } ?? "unknown cause"
    return .invalidArgument("\(what) near byte \(archive_filter_bytes(archive, 0)) of the archive: \(reason)")
  }
}
