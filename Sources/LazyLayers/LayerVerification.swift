import CLinux
import Hashing
import LayerIndex
import Protocols
import SystemKit

/// Holds a whole layer against what its image says, and against the index by which it was read: the disk's work, and a large heap's.
///
/// Its files are written to by nobody meanwhile: one process checks a layer at a time, and what a server that was killed has left checking is waited for.
/// `dataLoss` says what is wrong; if nothing is, the layer is on disk and marked as complete.
struct LayerVerification: LocalWork {
  typealias Outcome = Done
  static let name = "verify-layer"
  var directory: String
  var mediaType: String
  var blob: String
  var diffID: String
  var bytes: Int64
  /// Of `packed`: the directory may be another layer's by now.
  var device: UInt64
  var inode: UInt64

  var subject: String { "layer \(blob)" }

  init(_ layer: LazyLayer) throws {
    (device, inode) = try FileIdentity.of(layer.packed, layer.directory + "/packed")
    directory = layer.directory
    mediaType = layer.name.blob.mediaType
    blob = "\(layer.name.blob.digest)"
    diffID = "\(layer.name.diffID)"
    // Twice the blob, and the archive.
    bytes = 2 * layer.spans.size + layer.spans.archiveSize
  }

  func perform() throws -> Done {
    let (blob, diffID) = (try Digest(parsing: blob), try Digest(parsing: diffID))
    // One that is removed meanwhile gets no mark, nor does what comes to its place.
    let held = try Files.open(self.directory, O_PATH | O_DIRECTORY)
    let directory = "/proc/self/fd/\(held.raw)"
    defer { withExtendedLifetime(held) {} }
    let packed = try Files.open(directory + "/packed", O_RDWR)
    let raw = packed.raw
    let found = try FileIdentity.of(raw, self.directory + "/packed")
    if found.device != device || found.inode != inode { throw ContainerdError.notFound("\(subject) was removed") }
    let spans = try SpanTable(path: directory + "/spans", blob: blob)
    let archive = try Files.open(directory + "/archive", O_RDONLY)
    try check("flock", directory + "/packed") { clinux_flock(raw, LOCK_EX) }
    if Files.exists(directory + "/complete") { return try drop(packed.raw, spans) }
    let built: LayerIndex
    do {
      built = try LayerIndex.build(from: FileBytes(path: directory + "/packed"), mediaType: mediaType, expected: blob, spanSize: 1 << 30)
    } catch let error as ContainerdError where error.code == .invalidArgument { throw ContainerdError(.dataLoss, error.message) }
    if built.diffID != diffID {
      throw ContainerdError(.dataLoss, "unpacked it has the digest \(built.diffID.map(\.description) ?? "none"), the image says \(diffID)")
    }
    let bytes = try Files.read(directory + "/index", limit: 1 << 31)
    let index: LayerIndex
    do { index = try IndexFile.decode(bytes) } catch { throw ContainerdError(.dataLoss, "its index: \(error.message)") }
    if let difference = index.difference(from: built) { throw ContainerdError(.dataLoss, "its index is wrong: \(difference)") }
    try verify(archive.raw, spans, diffID, index, built)
    for (file, what) in [(archive.raw, "archive"), (packed.raw, "packed")] { try check("fsync", "\(directory)/\(what)") { fsync(file) } }
    try Files.writeAtomically([], to: directory + "/complete")
    return try drop(packed.raw, spans)
  }

  /// The blob has served, where the archive has all of it.
  private func drop(_ packed: Int32, _ spans: SpanTable) throws -> Done {
    if spans.archive == .tar { try check("ftruncate", directory + "/packed") { ftruncate(packed, 0) } }
    return Done()
  }

  /// Whether what is read here is what the blob has: whoever made the index may have lied about how its spans begin.
  private func verify(_ archive: Int32, _ spans: SpanTable, _ diffID: Digest, _ index: LayerIndex, _ built: LayerIndex) throws {
    if spans.archive == .tar {
      let digest = try FileDigest.make(archive, directory + "/archive", diffID.algorithm)
      if digest != diffID { throw ContainerdError(.dataLoss, "its spans make an archive \(digest), the image says \(diffID)") }
      return
    }
    func compare(_ entry: LayerIndex.Entry, _ real: LayerIndex.Entry) throws {
      guard entry.kind == .file, let digest = real.digest else { return }
      let mine = try FileDigest.make(entry, in: archive, directory + "/archive", digest.algorithm)
      if mine != digest { throw ContainerdError(.dataLoss, "its index makes another file of \"\(entry.text)\"") }
    }
    if spans.archive == .beginning {
      // Entry for entry, as `difference` has compared them: an archive may name a file twice.
      for (entry, real) in zip(index.entries, built.entries) { try compare(entry, real) }
      return
    }
    var files: [[UInt8]: LayerIndex.Entry] = [:]
    for entry in built.entries where entry.kind == .file { files[LayerIndex.plain(entry.name)] = entry }
    for entry in index.entries { if let real = files[LayerIndex.plain(entry.name)] { try compare(entry, real) } }
  }
}

/// Whether a path still leads to an open file.
enum FileIdentity {
  static func of(_ file: Int32, _ path: String) throws(SystemError) -> (device: UInt64, inode: UInt64) {
    var status = stat()
    try check("fstat", path) { fstat(file, &status) }
    return (UInt64(status.st_dev), UInt64(status.st_ino))
  }

  static func leads(_ path: String, to file: Int32) -> Bool {
    var (there, mine) = (stat(), stat())
    return lstat(path, &there) == 0 && fstat(file, &mine) == 0 && there.st_dev == mine.st_dev && there.st_ino == mine.st_ino
  }
}

/// Digests of files, and of files in archives. Blocking.
enum FileDigest {
  static func make(_ file: Int32, _ path: String, _ algorithm: Digest.Algorithm) throws -> Digest {
    var hasher = Hasher(algorithm)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { memory.deallocate() }
    var place: off_t = 0
    while true {
      let count = try check("pread", path) { pread(file, memory.baseAddress, memory.count, place) }
      if count == 0 { return hasher.digest() }
      hasher.update(UnsafeRawBufferPointer(rebasing: memory[0..<count]))
      place += off_t(count)
    }
  }

  static func make(_ entry: LayerIndex.Entry, in archive: Int32, _ path: String, _ algorithm: Digest.Algorithm) throws -> Digest {
    var hasher = Hasher(algorithm)
    var place: Int64 = 0
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { memory.deallocate() }
    func zeros(upTo end: Int64) {
      memory.initializeMemory(as: UInt8.self, repeating: 0)
      while place < end {
        let count = min(Int64(memory.count), end - place)
        hasher.update(UnsafeRawBufferPointer(rebasing: memory[0..<Int(count)]))
        place += count
      }
    }
    for piece in entry.pieces {
      zeros(upTo: piece.offset)
      while place < piece.offset + piece.count {
        let most = Int(min(Int64(memory.count), piece.offset + piece.count - place))
        let start = off_t(piece.place + (place - piece.offset))
        let count = try check("pread", path) { pread(archive, memory.baseAddress, most, start) }
        if count == 0 { throw ContainerdError(.dataLoss, "\(path) ends at \(start)") }
        hasher.update(UnsafeRawBufferPointer(rebasing: memory[0..<count]))
        place += Int64(count)
      }
    }
    zeros(upTo: entry.size)
    return hasher.digest()
  }
}
