import BlockingIO
import CLinux
import Hashing
import Protocols
import Synchronization
import SystemKit

/// A content store in a directory, in containerd's form:
///
///     blobs/sha256/HEX          a blob, read-only
///     ingest/HASH-OF-REF/       ref, data, startedat, updatedat, total, expected
///     labels/sha256/HEX         labels of a blob, where the store is used without a metadata database
///
/// A blob's name appears by one rename after its bytes are on disk. Refs are hashed and digests are validated values, so no
/// caller's text ever becomes a path.
public final class LocalContentStore: ContentStore {
  let root: String
  let pool: BlockingPool
  /// Which writer holds a ref. Whatever changes names (opening, publishing, labelling, deleting, aborting) happens under this lock, one at a time;
  /// bytes are written and flushed outside it.
  let held = Mutex<[String: Hold]>([:])

  let lastHold = Atomic<UInt64>(0)

  struct Hold: Equatable, Sendable {
    let id: UInt64
    let since: Timestamp
  }

  /// Opens the store, making its directories. Throws what the file system says.
  public init(root: String) throws {
    self.root = root
    self.pool = BlockingPool(label: "content", width: 16)
    do {
      for directory in ["blobs/sha256", "blobs/sha384", "blobs/sha512", "ingest", "labels/sha256", "labels/sha384", "labels/sha512"] {
        try Files.makeDirectories("\(root)/\(directory)", mode: 0o700)
      }
      try removeLeftovers()
    } catch { throw ContainerdError(error, "content store \(root)") }
  }

  func blobPath(_ digest: Digest) -> String { "\(root)/blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }
  func labelsPath(_ digest: Digest) -> String { "\(root)/labels/\(digest.algorithm.rawValue)/\(digest.hex)" }
  func ingestPath(_ ref: String) -> String { "\(root)/ingest/\(Digest.of(Array(ref.utf8)).hex)" }

  public func reader(_ digest: Digest) async throws -> any ContentReader {
    let path = blobPath(digest)
    return try await pool.run {
      do {
        return try LocalContentReader(path: path, pool: self.pool)
      } catch let error as SystemError where error.errno == ENOENT {
        throw ContainerdError.notFound("content \(digest)")
      } catch { throw ContainerdError(error, "content \(digest)") }
    }
  }

  public func info(_ digest: Digest) async throws -> ContentInfo { try await pool.run { try self.readInfo(digest) } }

  public func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo {
    try fields.validate(object: "content \(info.digest)")
    return try await pool.run {
      try self.held.withLock { _ in
        var stored = try self.readInfo(info.digest)
        stored.labels = fields.updatedLabels(of: stored.labels, from: info.labels)
        try stored.labels.validateLabels()
        try self.writeLabels(stored.labels, of: info.digest)
        return try self.readInfo(info.digest)
      }
    }
  }

  public func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    let infos = try await pool.run { try self.allBlobs().compactMap(self.infoIfPresent) }
    for info in infos where filters.matches(info) { try await visit(info) }
  }

  public func delete(_ digest: Digest) async throws {
    let path = blobPath(digest)
    let labels = labelsPath(digest)
    try await pool.run {
      try self.held.withLock { _ in
        if unlink(path) != 0 {
          if clinux_errno() == ENOENT { throw ContainerdError.notFound("content \(digest)") }
          throw ContainerdError(SystemError.last("unlink", path), "content \(digest)")
        }
        CrashPoint.pass("delete.unlinked")
        unlink(labels)
      }
      do { try Files.syncDirectory(Files.parent(of: path)) } catch { throw ContainerdError(error, "content \(digest)") }
    }
  }

  // MARK: helpers, on the blocking pool

  func readInfo(_ digest: Digest) throws -> ContentInfo {
    guard let info = try infoIfPresent(digest) else { throw ContainerdError.notFound("content \(digest)") }
    return info
  }

  /// Of one moment: a deletion meanwhile takes the labels after the blob, and another commit may bring both again.
  private func infoIfPresent(_ digest: Digest) throws -> ContentInfo? {
    let blob = blobPath(digest)
    while true {
      var status = stat()
      if stat(blob, &status) != 0 {
        if clinux_errno() == ENOENT { return nil }
        throw ContainerdError(SystemError.last("stat", blob), "content \(digest)")
      }
      let created = Timestamp(seconds: Int64(status.st_mtim.tv_sec), nanoseconds: Int32(status.st_mtim.tv_nsec))
      var info = ContentInfo(digest: digest, size: Int64(status.st_size), createdAt: created, updatedAt: created)
      if let (labels, updated) = try labels(of: digest) {
        // The labels are written before the blob comes to its place: it cannot have been updated before it was there.
        (info.labels, info.updatedAt) = (labels, max(created, updated))
      }
      if FileIdentity(status) == FileIdentity(blob) { return info }
    }
  }

  /// nil if it has none.
  private func labels(of digest: Digest) throws -> (Labels, updated: Timestamp)? {
    var status = stat()
    if stat(labelsPath(digest), &status) != 0 { return nil }
    do {
      let labels = try LabelFile.decode(Files.read(labelsPath(digest)))
      return (labels, Timestamp(seconds: Int64(status.st_mtim.tv_sec), nanoseconds: Int32(status.st_mtim.tv_nsec)))
    } catch let error as SystemError where error.errno == ENOENT { return nil }
  }

  func writeLabels(_ labels: Labels, of digest: Digest) throws {
    defer { CrashPoint.pass("labels.written") }
    do { try Files.writeAtomically(LabelFile.encode(labels), to: labelsPath(digest)) } catch { throw ContainerdError(error, "labels of content \(digest)") }
  }

  private func allBlobs() throws -> [Digest] {
    var digests: [Digest] = []
    for algorithm in Digest.Algorithm.allCases {
      let directory = "\(root)/blobs/\(algorithm.rawValue)"
      do {
        for name in try Files.names(in: directory) {
          // A stranger's file in the directory is not a blob.
          if let digest = try? Digest(parsing: "\(algorithm.rawValue):\(name)") { digests.append(digest) }
        }
      } catch { throw ContainerdError(error, "content store \(root)") }
    }
    return digests
  }
}

extension ContainerdError {
  /// A failed system call, said about an object of ours.
  init(_ error: any Error, _ object: String) {
    switch error {
    case let error as ContainerdError: self = error
    case let error as SystemError:
      let code: Code =
        switch error.errno {
        case ENOSPC, EDQUOT, EMFILE, ENFILE: .resourceExhausted
        case EACCES, EPERM, EROFS: .permissionDenied
        default: .unknown
        }
      self.init(code, "\(object): \(error)")
    default: self.init(.unknown, "\(object): \(error)")
    }
  }
}
