import Protocols

/// An empty snapshotter, and where there are real trees, a way into them.
public struct SnapshotSubject: Sendable {
  public var snapshotter: any Snapshotter
  /// Performs the mounts, lets the body work in the tree, and undoes the mounts. nil where there are no files.
  public var trees: (any TreeAccess)?
  /// Whatever must live as long as the snapshotter.
  public var keep: (any Sendable)?

  public init(snapshotter: any Snapshotter, trees: (any TreeAccess)? = nil, keep: (any Sendable)? = nil) {
    self.snapshotter = snapshotter
    self.trees = trees
    self.keep = keep
  }

  @discardableResult
  package func prepare(_ key: String, _ parent: String? = nil, labels: Labels = [:]) async throws -> [Mount] {
    try await snapshotter.prepare(key, parent: parent, labels: labels)
  }

  @discardableResult
  package func view(_ key: String, _ parent: String? = nil, labels: Labels = [:]) async throws -> [Mount] {
    try await snapshotter.view(key, parent: parent, labels: labels)
  }

  package func commit(_ name: String, _ key: String, labels: Labels = [:]) async throws { try await snapshotter.commit(name, key: key, labels: labels) }

  /// A committed snapshot, made through an active one.
  package func layer(_ name: String, on parent: String? = nil, labels: Labels = [:]) async throws {
    try await prepare("making \(name)", parent)
    try await commit(name, "making \(name)", labels: labels)
  }

  /// A committed snapshot that the body has written into.
  package func layer(_ name: String, on parent: String? = nil, _ body: @escaping @Sendable (any Tree) throws -> Void) async throws {
    try await enter(try await prepare("making \(name)", parent), body)
    try await commit(name, "making \(name)")
  }

  package func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any Tree) throws -> Void) async throws {
    guard let trees else { throw Mismatch(description: "the case needs files, the subject has none") }
    try await trees.enter(mounts, body)
  }

  /// Not every snapshotter has something to clean up: then it may say so.
  package func cleanup() async throws {
    do { try await snapshotter.cleanup() } catch let error as ContainerdError where error.code == .notImplemented {}
  }

  package func expectAbsent(_ key: String) async throws {
    try await expectError(.notFound, from: "stat of \(key)") { _ = try await snapshotter.stat(key) }
    try await expectError(.notFound, from: "mounts of \(key)") { _ = try await snapshotter.mounts(key) }
    try await expectError(.notFound, from: "usage of \(key)") { _ = try await snapshotter.usage(key) }
    try await expectError(.notFound, from: "remove of \(key)") { try await snapshotter.remove(key) }
  }

  package func names(_ filters: String...) async throws -> [String] {
    let seen = Visited<String>()
    try await snapshotter.walk(FilterSet(parsing: filters)) { seen.append($0.name) }
    return seen.items.sorted()
  }
}

/// Where mounts can be performed.
public protocol TreeAccess: Sendable {
  /// A file of the tree where the backend keeps it, looked at around the mounts; nil where that cannot be told from them.
  func stored(_ path: String, of mounts: [Mount]) throws -> (any StoredFile)?
  /// Performs the mounts, as a unit, lets the body work in the tree that they make, and undoes them. Errors of the body are thrown on.
  func enter(_ mounts: [Mount], _ body: @escaping @Sendable (any Tree) throws -> Void) async throws
}

extension TreeAccess {
  public func stored(_ path: String, of mounts: [Mount]) throws -> (any StoredFile)? { nil }
}

/// A file on the backend's own disk, held on to whatever becomes of its names.
public protocol StoredFile: Sendable {
  /// How many names it has left. Without one its space is free as soon as nobody holds it.
  func links() throws -> Int
}

/// Files of a mounted tree, by paths relative to its root. Blocking. Every failure is thrown.
public protocol Tree {
  func write(_ path: String, _ bytes: [UInt8]) throws
  /// Makes the file so long, without writing: what is new is a hole.
  func extend(_ path: String, to size: Int) throws
  /// nil if there is no such file.
  func read(_ path: String) throws -> [UInt8]?
  func makeDirectory(_ path: String) throws
  /// Removes a file or a whole directory.
  func remove(_ path: String) throws
  func link(_ existing: String, _ new: String) throws
  func symlink(_ target: String, _ new: String) throws
  func rename(_ old: String, _ new: String) throws
  /// Permission bits and ownership.
  func setMode(_ path: String, _ mode: UInt32, owner: UInt32, group: UInt32) throws
  func mode(_ path: String) throws -> (mode: UInt32, owner: UInt32, group: UInt32)
  /// Sorted.
  func names(_ path: String) throws -> [String]
  /// Where the tree's root is in the file system, as the thread of `enter` sees it. nil where it is in no file system.
  var directory: String? { get }
}

extension Tree {
  public var directory: String? { nil }
}

/// The contract of `Snapshotter`.
public enum SnapshotterSuite {
  public static let cases =
    making + committing + removing + asking + walks + naming + concurrency + trees + lives + races + usages + mounting + mounted + limits
    + exactness + space + together
}
