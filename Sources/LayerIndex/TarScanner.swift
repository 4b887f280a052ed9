import CArchive
import Hashing
import Protocols
import TarReading

/// Lists the entries of a tar archive with the places of their bytes, while the archive passes by. libarchive reads the headers.
enum TarScanner {
  private static let mostHoles: Int64 = 1 << 30

  /// Reads the archive as far as its end mark. Names are those of the archive, whatever they are.
  static func entries(of source: @escaping TarReader.Source) throws -> [LayerIndex.Entry] {
    var entries: [LayerIndex.Entry] = []
    try TarReader.forEachEntry(of: source) { entries.append(try entry($0)) }
    return entries
  }

  private static func entry(_ read: TarReader.Entry) throws -> LayerIndex.Entry {
    let (header, name, hardLink) = (read.header, read.name, read.hardLink)
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
    if kind == .symlink {
      guard let target = read.symlink, target[0] != 0 else {
        throw ContainerdError.invalidArgument("entry \"\(String(cString: name))\": symbolic link without a target")
      }
      entry.link = bytes(target)
    }
    if kind == .character || kind == .block {
      entry.major = UInt32(truncatingIfNeeded: archive_entry_rdevmajor(header))
      entry.minor = UInt32(truncatingIfNeeded: archive_entry_rdevminor(header))
    }
    entry.attributes = attributes(header)
    if kind == .file { try place(&entry, read) }
    return entry
  }

  /// Where the file's bytes are, and their digest: holes of a sparse file take no place in the archive.
  private static func place(_ entry: inout LayerIndex.Entry, _ read: TarReader.Entry) throws {
    let header = read.header
    entry.size = archive_entry_size(header)
    var place = read.place
    if archive_entry_sparse_reset(header) > 0 {
      var (offset, count): (la_int64_t, la_int64_t) = (0, 0)
      while archive_entry_sparse_next(header, &offset, &count) == ARCHIVE_OK {
        if count > 0 { entry.pieces.append(LayerIndex.Piece(offset: offset, place: place, count: count)) }
        place += count
      }
    } else if entry.size > 0 {
      entry.pieces = [LayerIndex.Piece(offset: 0, place: place, count: entry.size)]
    }
    // A file of holes may claim any size: nobody is made to hash what is nowhere.
    let isHashed = entry.size - entry.pieces.reduce(0) { $0 + $1.count } <= mostHoles
    var hasher = Hasher()
    var hashed: Int64 = 0
    var isRead = false
    func hashZeros(upTo end: Int64) {
      let zeros = [UInt8](repeating: 0, count: 64 << 10)
      while hashed < end {
        let count = min(Int64(zeros.count), end - hashed)
        zeros.withUnsafeBytes { hasher.update(UnsafeRawBufferPointer(rebasing: $0[0..<Int(count)])) }
        hashed += count
      }
    }
    try read.readData { bytes, offset in
      isRead = true
      if !isHashed { return }
      hashZeros(upTo: offset)
      hasher.update(bytes)
      hashed = offset + Int64(bytes.count)
    }
    // A map of no pieces is no map to libarchive, but it reads nothing of such a file either: it is one hole.
    if !isRead { entry.pieces = [] }
    if !isHashed || !isRead && entry.size > mostHoles { return }
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
    // libarchive tells the last record first, and of one attribute that comes twice the last counts.
    var known: Set<String> = []
    archive_entry_xattr_reset(header)
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var count = 0
    while archive_entry_xattr_next(header, &name, &value, &count) == ARCHIVE_OK {
      guard let name, case let text = String(cString: name), known.insert(text).inserted else { continue }
      attributes.append(LayerIndex.Attribute(name: text, value: Array(UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : count))))
    }
    return attributes.sorted { $0.name < $1.name }
  }

  private static func bytes(_ text: UnsafePointer<CChar>) -> [UInt8] {
    var count = 0
    while text[count] != 0 { count += 1 }
    return Array(UnsafeRawBufferPointer(start: text, count: count))
  }
}
