import CLinux
import ConformanceSuites
import Protocols

/// A snapshotter whose mounts are performed, and worked in with system calls.
public struct MountSubject: Sendable {
  public var snapshotter: any Snapshotter
  /// Performs the snapshotter's mounts.
  public var access: any TreeAccess
  /// The calls that are made inside the snapshotter's mounts.
  public var calls = FileCalls()
  /// Performs a bind of a plain directory: what the mounts are compared with.
  public let plainAccess: any TreeAccess
  /// An empty plain directory on the file system of the snapshotter's own files.
  public let plain: String
  /// Takes down a step: text, command, outcome.
  public var record: @Sendable (String, String, String) -> Void

  public init(
    snapshotter: any Snapshotter, access: any TreeAccess, plainAccess: any TreeAccess, plain: String,
    record: @escaping @Sendable (String, String, String) -> Void
  ) {
    self.snapshotter = snapshotter
    self.access = access
    self.plainAccess = plainAccess
    self.plain = plain
    self.record = record
  }

  typealias Script = @Sendable (Place) throws -> Void

  /// Runs the script in the mounted tree. What it did is recorded.
  @discardableResult
  func enter(_ mounts: [Mount], calls: FileCalls? = nil, _ script: @escaping Script) async throws -> [Place.Step] {
    let steps = Visited<Place.Step>()
    let calls = calls ?? self.calls
    try await access.enter(mounts) { tree in try Self.run(script, in: tree, calls: calls, steps) }
    for step in steps.items { record(step.text, step.command, step.outcome) }
    return steps.items
  }

  /// Runs the script in a plain directory of the file system below.
  @discardableResult
  func enterPlain(_ script: @escaping Script) async throws -> [Place.Step] {
    let steps = Visited<Place.Step>()
    try await plainAccess.enter([Mount(type: "bind", source: plain, options: ["rw", "rbind"])]) { tree in
      try Self.run(script, in: tree, calls: FileCalls(), steps)
    }
    return steps.items
  }

  private static func run(_ script: Script, in tree: any Tree, calls: FileCalls, _ steps: Visited<Place.Step>) throws {
    guard let root = tree.directory else { throw SuiteError("the tree of the mounts is no directory of this machine") }
    umask(0o022)
    let place = Place(root: root, calls: calls)
    defer { for step in place.steps { steps.append(step) } }
    try script(place)
  }

  /// A committed snapshot that the script has written into. Its steps must all come to `ok`: they are the case's own preparation.
  func layer(_ name: String, on parent: String? = nil, _ script: @escaping Script) async throws {
    record("prepare \(name)", "ctr snapshots prepare --target MOUNT 'making \(name)' \(parent.map { "'\($0)'" } ?? "''")", "")
    let mounts = try await snapshotter.prepare("making \(name)", parent: parent, labels: [:])
    for step in try await enter(mounts, calls: FileCalls(), script) where step.outcome != "ok" {
      throw Mismatch(description: "writing the layer \(name): \(step.text): \(step.outcome)")
    }
    try await snapshotter.commit(name, key: "making \(name)", labels: [:])
    record("commit \(name)", "ctr snapshots commit '\(name)' 'making \(name)'", "")
  }

  func prepare(_ key: String, _ parent: String? = nil) async throws -> [Mount] {
    record("prepare \(key)", "ctr snapshots prepare --target MOUNT '\(key)' \(parent.map { "'\($0)'" } ?? "''")", "")
    return try await snapshotter.prepare(key, parent: parent, labels: [:])
  }

  func view(_ key: String, _ parent: String?) async throws -> [Mount] {
    record("view \(key)", "ctr snapshots view --target MOUNT '\(key)' \(parent.map { "'\($0)'" } ?? "''")", "")
    return try await snapshotter.view(key, parent: parent, labels: [:])
  }
}

/// The contract of what a snapshotter's mounts make: a file system like any other.
public enum MountSuite {
  public static let cases: [ContractCase<MountSubject>] =
    naming + opening + linking + kinds + layering + permissions
}

/// The case in which a script, run above a layer, must come to the same as in a plain directory with the same contents.
func likePlain(
  _ id: String, _ sentence: String, _ statement: String, level: ContractLevel = .must, needs: Set<Capability> = [], why: String, threads: [String] = [],
  lower: @escaping MountSubject.Script = { _ in }, _ script: @escaping MountSubject.Script
) -> ContractCase<MountSubject> {
  ContractCase(id, sentence, statement, level: level, needs: needs.union([.files]), why: why, threads: threads) { subject in
    try await subject.layer("base") { place in
      try lower(place)
      place.write(".kept", "")
    }
    try await subject.enterPlain { place in
      try lower(place)
      place.write(".kept", "")
    }
    let wanted = try await subject.enterPlain(script)
    let seen = try await subject.enter(try await subject.prepare("container", "base"), script)
    try expectSame(seen, wanted)
  }
}

/// The two runs of a script must not differ in any outcome.
func expectSame(_ seen: [Place.Step], _ wanted: [Place.Step]) throws {
  for (number, (mine, theirs)) in zip(seen, wanted).enumerated() where mine != theirs {
    throw Mismatch(
      description: "step \(number + 1), \(theirs.text): in a plain directory \(theirs.outcome), in the mount \(mine.outcome)",
      expected: "\(theirs.text): \(theirs.outcome)", actual: mine.text == theirs.text ? mine.outcome : "\(mine.text): \(mine.outcome)")
  }
  if seen.count != wanted.count { throw Mismatch(description: "the script took \(seen.count) steps in the mount, \(wanted.count) in a plain directory") }
}
