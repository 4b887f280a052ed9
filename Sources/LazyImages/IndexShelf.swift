import CLinux
import LayerIndex
import Protocols
import SystemKit

/// The indexes that are on this machine, by the digest of their layer: `ROOT/sha256/HEX.idx`, and beside them what was needed of the layers first,
/// `HEX.access`. They stay when their layers go. Blocking.
public struct IndexShelf: Sendable {
  private let root: String
  private static let most = 1 << 31

  public init(root: String) { self.root = root }

  func path(_ layer: Digest) -> String { "\(root)/\(layer.algorithm.rawValue)/\(layer.hex).idx" }

  public func has(_ layer: Digest) -> Bool { Files.exists(path(layer)) }

  /// nil if there is none, or none that can be read: another is made then.
  public func read(_ layer: Digest) throws -> (index: LayerIndex, bytes: [UInt8])? {
    if !has(layer) { return nil }
    do {
      let bytes = try Files.read(path(layer), limit: Self.most)
      return (try IndexFile.decode(bytes), bytes)
    } catch let error as ContainerdError where error.code == .invalidArgument {
      try remove(layer)
      return nil
    } catch let error as SystemError where error.errno == ENOENT { return nil }
  }

  private func accesses(_ layer: Digest) -> String { "\(root)/\(layer.algorithm.rawValue)/\(layer.hex).access" }

  /// An AccessList of the layer; nil if there is none. Whether it fits is for whoever uses it to see.
  public func readAccesses(_ layer: Digest) throws -> [UInt8]? {
    do { return try Files.read(accesses(layer), limit: AccessList.mostBytes) } catch let error where error.errno == ENOENT { return nil }
  }

  /// Nothing is kept of a layer that has no index here.
  public func writeAccesses(_ bytes: [UInt8], for layer: Digest) throws {
    if has(layer) { try Files.writeAtomically(bytes, to: accesses(layer)) }
  }

  public func write(_ bytes: [UInt8], for layer: Digest) throws {
    try Files.makeDirectories("\(root)/\(layer.algorithm.rawValue)", mode: 0o700)
    try Files.writeAtomically(bytes, to: path(layer))
  }

  /// Whether an index of this layer turned out to be wrong. Then only one that was made here is right.
  public func isDistrusted(_ layer: Digest) -> Bool { Files.exists(path(layer) + ".wrong") }

  /// Removes the index, and remembers that none of others is to be believed.
  public func distrust(_ layer: Digest) throws {
    try Files.makeDirectories("\(root)/\(layer.algorithm.rawValue)", mode: 0o700)
    try Files.writeAtomically([], to: path(layer) + ".wrong")
    try remove(layer)
  }

  public func remove(_ layer: Digest) throws {
    for path in [accesses(layer), path(layer)] where unlink(path) != 0 && clinux_errno() != ENOENT { throw SystemError.last("unlink", path) }
  }
}
