/// A content address: algorithm and lower-case hexadecimal, `sha256:…` (OCI image-spec, descriptor.md, "Digests").
///
/// Only well-formed digests exist, so one may be used to build a file name without further checks.
public struct Digest: Hashable, Sendable, Comparable, CustomStringConvertible {
  public enum Algorithm: String, Sendable, CaseIterable {
    case sha256, sha384, sha512
    public var hexLength: Int {
      switch self {
      case .sha256: 64
      case .sha384: 96
      case .sha512: 128
      }
    }
  }

  public let algorithm: Algorithm
  /// Lower-case hexadecimal, exactly as long as the algorithm demands.
  public let hex: String

  /// Throws `invalidArgument` unless the text is a digest of a supported algorithm.
  public init(parsing text: String) throws(ContainerdError) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let algorithm = Algorithm(rawValue: String(parts[0])),
      parts[1].utf8.count == algorithm.hexLength,
      parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else { throw .invalidArgument("digest \"\(text)\"") }
    self.algorithm = algorithm
    self.hex = String(parts[1])
  }

  /// From the raw hash, `algorithm.hexLength / 2` bytes.
  public init(_ algorithm: Algorithm, hash: some Sequence<UInt8>) {
    let digits = Array("0123456789abcdef".utf8)
    var hex: [UInt8] = []
    hex.reserveCapacity(algorithm.hexLength)
    for byte in hash {
      hex.append(digits[Int(byte >> 4)])
      hex.append(digits[Int(byte & 15)])
    }
    precondition(hex.count == algorithm.hexLength, "a \(algorithm.rawValue) hash of \(hex.count / 2) bytes")
    self.algorithm = algorithm
    self.hex = String(decoding: hex, as: UTF8.self)
  }

  public var description: String { "\(algorithm.rawValue):\(hex)" }
  public static func < (left: Digest, right: Digest) -> Bool { left.description < right.description }
}
