import Protocols

/// What stands in for the kernel's overlay, where that cannot be used.
public protocol LayerStacking: Sendable {
  /// The mounts of a snapshot with more than one directory: the same each time. Makes what they need if it is not there. Blocking.
  /// - Parameters:
  ///   - lowers: nearest first, at least one.
  ///   - upper, work: of a snapshot that is written to.
  func mounts(of id: Int64, writable: Bool, lowers: [String], upper: String, work: String) throws -> [Mount]
}
