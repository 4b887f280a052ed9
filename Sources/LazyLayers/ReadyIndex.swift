import CLinux
import Dispatch
import Hashing
import LayerIndex
import Protocols
import Synchronization
import SystemKit

/// An index that was read and found sound, with its table of spans: two files in a directory of their own, ready to be put on a shelf.
///
/// They go when nobody has it any more, unless they were put there. What a killed process has left of them is for the directory's owner to remove.
public final class ReadyIndex: Sendable {
  public let blob: Digest
  public let size: Int64
  public let packing: LayerIndex.Packing
  public let diffID: Digest?
  public let isSeekable: Bool
  private let directory: String
  private let isPlaced = Mutex(false)

  /// What the bytes are.
  public enum Form: Codable, Sendable {
    case own
    /// SOCI's, which does not tell what it is of.
    case soci(blob: String, size: Int64, diffID: String)
    /// The layer itself, whose index is made. `dataLoss` if its bytes are others.
    case layer(mediaType: String, digest: String)
    /// The layer, of which nothing is there but its table of contents and what tells where that is; the rest of the file is a hole.
    case table(mediaType: String, digest: String, size: Int64, annotations: [String: String], diffID: String)
  }

  /// Reads an index out of a file. `invalidArgument` for what is none or not sound, `notFound` without the file. Blocking.
  /// - Parameter scratch: a directory on the file system of the shelf; it is made if it is not there.
  public init(file: String, form: Form = .own, scratch: String, by work: WorkPlace) throws {
    directory = "\(scratch)/\(UInt64.random(in: 0...UInt64.max))"
    try Files.makeDirectories(directory, mode: 0o700)
    do {
      let facts = try work.run(ReadyIndexWork(file: file, form: form, directory: directory))
      blob = try Digest(parsing: facts.blob)
      (size, packing, isSeekable) = (facts.size, facts.packing, facts.isSeekable)
      diffID = try facts.diffID.map { try Digest(parsing: $0) }
    } catch {
      try Files.removeTree(directory)
      throw error
    }
  }

  deinit {
    if isPlaced.withLock({ $0 }) { return }
    let directory = directory
    // Not worth an error: it is looked for when the next process begins.
    DispatchQueue.global().async { try? Files.removeTree(directory) }
  }

  /// As a file. Blocking.
  public func bytes() throws(SystemError) -> [UInt8] { try Files.read("\(directory)/index", limit: ReadyIndexWork.most) }

  /// For who wants all of it after all. Blocking.
  public func read() throws -> (index: LayerIndex, bytes: [UInt8]) {
    let bytes = try bytes()
    return (try IndexFile.decode(bytes), bytes)
  }

  /// Becomes the directory of a layer. `EEXIST` or `ENOTEMPTY` if there is one. Blocking.
  func place(at target: String) throws(SystemError) {
    let directory = directory
    try check("rename", target) { rename(directory, target) }
    isPlaced.withLock { $0 = true }
  }
}

struct ReadyIndexWork: LocalWork {
  static let name = "read-index"
  static let most = 1 << 31
  var file: String
  var form: ReadyIndex.Form
  var directory: String
  var subject: String { "index \(file)" }
  var bytes: Int64 { 0 }

  struct Outcome: Codable, Sendable {
    var blob: String
    var size: Int64
    var packing: LayerIndex.Packing
    var diffID: String?
    var isSeekable: Bool
  }

  func perform() throws -> Outcome {
    let index: LayerIndex
    let bytes: [UInt8]
    switch form {
    case .own:
      bytes = try contents()
      index = try IndexFile.decode(bytes)
    case .soci(let blob, let size, let diffID):
      index = try ForeignIndex.soci(ztoc: try contents(), blob: try Digest(parsing: blob), size: size, diffID: try Digest(parsing: diffID))
      bytes = try IndexFile.encode(index)
    case .layer(let mediaType, let digest):
      index = try LayerIndex.build(from: try FileBytes(path: file), mediaType: mediaType, expected: try Digest(parsing: digest))
      bytes = try IndexFile.encode(index)
    case .table(let mediaType, let digest, let size, let annotations, let diffID):
      let (file, blob) = (try BlobFile(path: file), try Digest(parsing: digest))
      guard
        let found = try ForeignIndex.find(
          blob: blob, size: size, mediaType: mediaType, annotations: annotations, diffID: try Digest(parsing: diffID), read: { try file.read($0) })
      else { throw ContainerdError.invalidArgument("blob \(blob) has no table of contents") }
      index = found.index
      bytes = try IndexFile.encode(index)
    }
    try Files.writeAtomically(bytes, to: "\(directory)/index")
    try Files.writeAtomically(try SpanTable.encode(index), to: "\(directory)/spans")
    return Outcome(
      blob: "\(index.blob)", size: index.size, packing: index.packing, diffID: index.diffID.map { "\($0)" }, isSeekable: index.isSeekable)
  }

  private func contents() throws -> [UInt8] {
    do { return try Files.read(file, limit: Self.most) } catch { throw ContainerdError(error, subject) }
  }
}
