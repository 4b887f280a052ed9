import CLinux
import Hashing
import Protocols
import Synchronization
import SystemKit

/// The registry's directory. Blocking.
///
///     blobs/sha256/HEX                                 bytes of blobs and manifests, kept once for all repositories
///     repositories/NAME/_blobs/sha256/HEX              "NAME has this blob" (empty)
///     repositories/NAME/_manifests/sha256/HEX          "NAME has this manifest": its media type
///     repositories/NAME/_tags/TAG                      the digest that the tag stands for
///     repositories/NAME/_referrers/sha256/HEX/DIGEST   manifests that name HEX as their subject
///     uploads/ID/{data,repository}                     an upload under way
///     temporary/                                       files on their way to one of the names above
///
/// A component of a repository's name never begins with `_`, so names and our own folders cannot meet. Every file appears by
/// a rename after its bytes are on disk: a kill leaves an upload that can go on, or nothing.
final class RegistryStorage: Sendable {
  let root: String
  /// Makers and removers of names take turns; reading needs no lock.
  private let turn = Mutex(())

  init(root: String) throws(SystemError) {
    self.root = root
    for directory in ["blobs", "repositories", "uploads", "temporary"] { try Files.makeDirectories("\(root)/\(directory)", mode: 0o700) }
    for algorithm in Digest.Algorithm.allCases { try Files.makeDirectories("\(root)/blobs/\(algorithm.rawValue)", mode: 0o700) }
    for name in try Files.names(in: "\(root)/temporary") { try Files.removeTree("\(root)/temporary/\(name)") }
    try removeAbandonedUploads()
  }

  func blobPath(_ digest: Digest) -> String { "\(root)/blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }
  func repositoryPath(_ name: String) -> String { "\(root)/repositories/\(name)" }
  private func link(_ kind: String, _ name: String, _ digest: Digest) -> String {
    "\(repositoryPath(name))/_\(kind)/\(digest.algorithm.rawValue)/\(digest.hex)"
  }

  // MARK: blobs

  func hasBlob(_ name: String, _ digest: Digest) -> Bool { Files.exists(link("blobs", name, digest)) && Files.exists(blobPath(digest)) }

  func blob(_ name: String, _ digest: Digest) throws -> BlobFile {
    guard hasBlob(name, digest) else { throw RegistryError(.blobUnknown, "\(name) has no blob \(digest)") }
    return try BlobFile(blobPath(digest))
  }

  func linkBlob(_ name: String, _ digest: Digest) throws { try write([], to: link("blobs", name, digest)) }

  /// The repository forgets the blob; its bytes stay for others.
  func deleteBlob(_ name: String, _ digest: Digest) throws {
    guard try remove(link("blobs", name, digest)) else { throw RegistryError(.blobUnknown, "\(name) has no blob \(digest)") }
  }

  /// Puts bytes there as they are and links them to the repository.
  func addBlob(_ name: String, _ bytes: [UInt8]) throws -> Digest {
    let digest = Digest.of(bytes)
    try write(bytes, to: blobPath(digest))
    try linkBlob(name, digest)
    return digest
  }

  // MARK: manifests

  func digest(_ name: String, _ reference: Route.ManifestReference) throws -> Digest {
    switch reference {
    case .digest(let digest): return digest
    case .tag(let tag):
      let path = "\(repositoryPath(name))/_tags/\(tag)"
      guard Files.exists(path) else { throw RegistryError(.manifestUnknown, "\(name) has no tag \(tag)") }
      return try Digest(parsing: String(decoding: try Files.read(path), as: UTF8.self))
    }
  }

  func hasManifest(_ name: String, _ digest: Digest) -> Bool { Files.exists(link("manifests", name, digest)) }

  func manifest(_ name: String, _ reference: Route.ManifestReference) throws -> (digest: Digest, mediaType: String, file: BlobFile) {
    let digest = try digest(name, reference)
    guard hasManifest(name, digest) else { throw RegistryError(.manifestUnknown, "\(name) has no manifest \(digest)") }
    let type = String(decoding: try Files.read(link("manifests", name, digest)), as: UTF8.self)
    return (digest, type, try BlobFile(blobPath(digest)))
  }

  /// `algorithm` is the client's choice; a tag follows once the manifest is there.
  func addManifest(
    _ name: String, _ bytes: [UInt8], mediaType: String, tag: String?, algorithm: Digest.Algorithm = .sha256, subject: Digest? = nil
  ) throws -> Digest {
    let digest = Digest.of(bytes, algorithm)
    try write(bytes, to: blobPath(digest))
    try write(Array(mediaType.utf8), to: link("manifests", name, digest))
    if let subject { try write([], to: "\(link("referrers", name, subject))/\(digest)") }
    if let tag { try write(Array(digest.description.utf8), to: "\(repositoryPath(name))/_tags/\(tag)") }
    return digest
  }

  /// A tag goes alone; a digest goes with all tags that stand for it.
  func deleteManifest(_ name: String, _ reference: Route.ManifestReference) throws {
    switch reference {
    case .tag(let tag):
      guard try remove("\(repositoryPath(name))/_tags/\(tag)") else { throw RegistryError(.manifestUnknown, "\(name) has no tag \(tag)") }
    case .digest(let digest):
      guard try remove(link("manifests", name, digest)) else { throw RegistryError(.manifestUnknown, "\(name) has no manifest \(digest)") }
      for tag in try tags(name) where try self.digest(name, .tag(tag)) == digest { _ = try remove("\(repositoryPath(name))/_tags/\(tag)") }
      for algorithm in Digest.Algorithm.allCases {
        let subjects = "\(repositoryPath(name))/_referrers/\(algorithm.rawValue)"
        for subject in try names(in: subjects) { _ = try remove("\(subjects)/\(subject)/\(digest)") }
      }
    }
  }

  func referrers(_ name: String, _ subject: Digest) throws -> [Digest] {
    try names(in: link("referrers", name, subject)).sorted().map { try Digest(parsing: $0) }
  }

  // MARK: lists

  /// In the distribution-spec's order.
  func tags(_ name: String) throws -> [String] { try names(in: "\(repositoryPath(name))/_tags").sorted(by: Names.isOrdered) }

  func hasRepository(_ name: String) -> Bool { ["blobs", "manifests", "tags"].contains { Files.exists("\(repositoryPath(name))/_\($0)") } }

  /// Repositories that hold a manifest, in the same order.
  func repositories() throws -> [String] {
    var found: [String] = []
    var pending = [""]
    while let prefix = pending.popLast() {
      let children = try names(in: repositoryPath(prefix))
      if children.contains("_manifests") { found.append(prefix) }
      pending += children.filter { !$0.hasPrefix("_") }.map { prefix.isEmpty ? $0 : "\(prefix)/\($0)" }
    }
    return found.sorted(by: Names.isOrdered)
  }

  // MARK: files

  private func names(in directory: String) throws(SystemError) -> [String] {
    do { return try Files.names(in: directory) } catch {
      if error.errno == ENOENT { return [] }
      throw error
    }
  }

  private func write(_ bytes: [UInt8], to path: String) throws(SystemError) {
    let temporary = "\(root)/temporary/\(Self.randomName())"
    try Files.writeAtomically(bytes, to: temporary)
    try publish(temporary, as: path)
  }

  /// `temporary` is on disk already; the name, and the directories that lead to it, are when this returns.
  func publish(_ temporary: String, as path: String) throws(SystemError) {
    let directory = Files.parent(of: path)
    try turn.withLock { _ throws(SystemError) in
      try Files.makeDirectories(directory, mode: 0o700)
      try check("rename", path) { rename(temporary, path) }
      var parent = directory
      while true {
        try Files.syncDirectory(parent)
        let above = Files.parent(of: parent)
        if parent == root || above == parent { break }
        parent = above
      }
    }
  }

  /// Whether there was something to remove.
  private func remove(_ path: String) throws(SystemError) -> Bool {
    try turn.withLock { _ throws(SystemError) in
      if !Files.exists(path) { return false }
      try Files.removeTree(path)
      try Files.syncDirectory(Files.parent(of: path))
      return true
    }
  }

  static func randomName() -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: (0..<32).map { _ in digits[Int.random(in: 0..<16)] }, as: UTF8.self)
  }
}
