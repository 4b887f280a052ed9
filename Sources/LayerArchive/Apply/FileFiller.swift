import CLinux
import SystemKit

/// Writes a file's bytes in whole pieces of its own, not in those of the archive: the kernel keeps a file in folios as large as what was written at once and aligned
/// to it, and maps large ones faster.
struct FileFiller: ~Copyable {
  static let piece: Int64 = 1 << 20

  private let file: Int32
  private let path: String
  /// The beginning of a piece that is not whole yet, which ends at `end`.
  private let begun = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(piece), alignment: 4096)
  private var count = 0
  /// Where in the file the byte goes that follows the last one.
  private(set) var end: Int64 = 0

  /// - Parameter file: stays open as long as this lives.
  init(_ file: Int32, path: String) {
    self.file = file
    self.path = path
  }

  deinit { begun.deallocate() }

  /// Offsets grow; what lies between two is a hole.
  mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws {
    if offset != end { try finish() }
    end = offset
    var left = bytes
    while !left.isEmpty {
      let room = Int(Self.piece - end % Self.piece)
      if left.count < room {
        UnsafeMutableRawBufferPointer(rebasing: begun[count...]).copyMemory(from: left)
        count += left.count
        end += Int64(left.count)
        return
      }
      try put(UnsafeRawBufferPointer(rebasing: left[..<room]))
      left = UnsafeRawBufferPointer(rebasing: left[room...])
      end += Int64(room)
    }
  }

  /// What is left of the last piece.
  mutating func finish() throws {
    if count > 0 { try put(UnsafeRawBufferPointer(start: nil, count: 0)) }
  }

  /// What was begun, and what follows it, in one call.
  private mutating func put(_ rest: UnsafeRawBufferPointer) throws {
    let parts = [UnsafeRawBufferPointer(rebasing: begun[..<count]), rest]
    let vectors = parts.map { iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count) }
    var position = end - Int64(count)
    // A disk that becomes full takes a part, and refuses the rest.
    var taken = try check("pwritev", path) { pwritev(file, vectors, 2, off_t(position)) }
    for part in parts {
      var left = UnsafeRawBufferPointer(rebasing: part[min(taken, part.count)...])
      taken -= part.count - left.count
      position += Int64(part.count - left.count)
      while !left.isEmpty {
        let more = try check("pwrite", path) { pwrite(file, left.baseAddress, left.count, off_t(position)) }
        left = UnsafeRawBufferPointer(rebasing: left[more...])
        position += Int64(more)
      }
    }
    count = 0
  }
}
