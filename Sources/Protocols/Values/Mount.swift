/// A mount to be performed, as data: the only thing that snapshotters, appliers and runtimes share.
///
/// A component *produces* mounts; whoever runs the container, or unpacks a layer, *performs* them in order, as a unit, and undoes
/// them as a unit. `options` are mount(8) words; what is not a flag is data for the file system and keeps its order.
public struct Mount: Hashable, Sendable {
  /// `bind`, `overlay`, `fuse3.x`, …
  public var type: String
  /// A directory for binds, a device or a name otherwise.
  public var source: String
  /// A path below the root to be assembled; empty for the root itself.
  public var target: String
  public var options: [String]

  public init(type: String, source: String, target: String = "", options: [String] = []) {
    self.type = type
    self.source = source
    self.target = target
    self.options = options
  }

  public var isReadOnly: Bool { options.contains("ro") }
}
