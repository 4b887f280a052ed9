import CCrypto
import Protocols

/// An incremental digest over libcrypto, which uses the processor's SHA instructions.
///
/// Not thread-safe: one owner at a time.
public struct Hasher: ~Copyable, @unchecked Sendable {
  private let context: OpaquePointer
  public let algorithm: Digest.Algorithm

  public init(_ algorithm: Digest.Algorithm = .sha256) {
    guard let context = EVP_MD_CTX_new() else { fatalError("libcrypto: no memory for a digest context") }
    let kind =
      switch algorithm {
      case .sha256: EVP_sha256()
      case .sha384: EVP_sha384()
      case .sha512: EVP_sha512()
      }
    precondition(EVP_DigestInit_ex(context, kind, nil) == 1, "libcrypto offers \(algorithm.rawValue)")
    self.context = context
    self.algorithm = algorithm
  }

  deinit { EVP_MD_CTX_free(context) }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    if bytes.count > 0 { EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) }
  }

  public mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

  /// The digest of everything so far; more may be added afterwards.
  public func digest() -> Digest {
    guard let copy = EVP_MD_CTX_new() else { fatalError("libcrypto: no memory for a digest context") }
    defer { EVP_MD_CTX_free(copy) }
    EVP_MD_CTX_copy_ex(copy, context)
    var hash = [UInt8](repeating: 0, count: 64)
    var length: UInt32 = 0
    EVP_DigestFinal_ex(copy, &hash, &length)
    return Digest(algorithm, hash: hash.prefix(Int(length)))
  }
}

extension Digest {
  /// The digest of these bytes.
  public static func of(_ bytes: [UInt8], _ algorithm: Algorithm = .sha256) -> Digest {
    var hasher = Hasher(algorithm)
    hasher.update(bytes)
    return hasher.digest()
  }
}
