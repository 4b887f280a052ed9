import CLinux
import Hashing
import Protocols
import SystemKit

/// Uploads: files that grow until a digest closes them.
extension RegistryStorage {
  private func uploadPath(_ id: String) -> String { "\(root)/uploads/\(id)" }

  func startUpload(_ name: String) throws -> String {
    let id = Self.randomName()
    try Files.makeDirectories(uploadPath(id), mode: 0o700)
    try Files.writeAtomically(Array(name.utf8), to: "\(uploadPath(id))/repository")
    _ = try Files.open("\(uploadPath(id))/data", O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
    return id
  }

  /// Bytes received so far.
  func uploadSize(_ name: String, _ id: String) throws -> Int64 {
    let path = uploadPath(id)
    guard Files.exists("\(path)/data"), String(decoding: try Files.read("\(path)/repository"), as: UTF8.self) == name else {
      throw RegistryError(.blobUploadUnknown, "\(name) has no upload \(id)")
    }
    return Int64(try Files.status("\(path)/data").st_size)
  }

  func openUpload(_ id: String) throws -> UploadFile { try UploadFile("\(uploadPath(id))/data") }

  /// The upload becomes a blob if its bytes have the digest; if not, it is gone, as the digest cannot come true any more.
  func finishUpload(_ name: String, _ id: String, _ digest: Digest) throws {
    let data = "\(uploadPath(id))/data"
    let actual = try hash(data, digest.algorithm)
    guard actual == digest else {
      try cancelUpload(id)
      throw RegistryError(.digestInvalid, "upload \(id) has the digest \(actual), not \(digest)")
    }
    let fd = try Files.open(data, O_RDONLY)
    let raw = fd.raw
    try check("fsync", data) { fsync(raw) }
    try publish(data, as: blobPath(digest))
    try linkBlob(name, digest)
    try cancelUpload(id)
  }

  /// Uploads that nobody has written to for a day: their clients have forgotten them.
  func removeAbandonedUploads(now: Timestamp = .now()) throws(SystemError) {
    for id in try Files.names(in: "\(root)/uploads") {
      let data = "\(uploadPath(id))/data"
      let path = Files.exists(data) ? data : uploadPath(id)
      if Int64(try Files.status(path).st_mtim.tv_sec) < now.seconds - 86_400 { try Files.removeTree(uploadPath(id)) }
    }
  }

  func cancelUpload(_ id: String) throws { try Files.removeTree(uploadPath(id)) }

  private func hash(_ path: String, _ algorithm: Digest.Algorithm) throws -> Digest {
    let file = try BlobFile(path)
    var hasher = Hasher(algorithm)
    var offset: Int64 = 0
    while offset < file.size {
      let bytes = try file.read(at: offset, count: 1 << 20)
      if bytes.isEmpty { throw SystemError(errno: EIO, operation: "pread", object: path) }
      hasher.update(bytes)
      offset += Int64(bytes.count)
    }
    return hasher.digest()
  }
}

/// The growing end of an upload. Blocking; one owner at a time.
final class UploadFile: Sendable {
  private let fd: OwnedFD
  private let path: String

  init(_ path: String) throws(SystemError) {
    self.fd = try Files.open(path, O_WRONLY | O_APPEND | O_NOFOLLOW)
    self.path = path
  }

  func append(_ bytes: UnsafeRawBufferPointer) throws(SystemError) { try Files.writeAll(bytes, to: fd, path: path) }
}
