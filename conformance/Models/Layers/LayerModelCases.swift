import ConformanceSuites
import ConformanceSystemSuites
import Protocols

/// Generated archives against the rules of the image specification, and against GNU tar.
public enum LayerModelSuite {
  public static let cases: [ContractCase<FreshSubjects<LayerSubject>>] = [
    ContractCase(
      "layers.model.apply", "whatever layers hold and in whatever order, the tree is what the image specification says",
      "LayerApplier; LY-03, LY-05, LY-06, LY-08, LY-09, LY-10, LY-14; TA-01, TA-08, TA-11", needs: [.files],
      why: "builders write entries and whiteouts in orders of their own; a deleted secret that is still there is a leak"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 60, seconds: 9, shrinks: 200)) { attempt, subject in
        var tree = LayerTree()
        var archives: [[UInt8]] = []
        try await attempt.sequence(atMost: 3) {
          let plan = LayerPlan.draw(attempt, over: tree)
          attempt.does("layer \(archives.count + 1): \(plan)")
          archives.append(plan.archive)
          tree = plan.applied(to: tree)
        }
        if archives.isEmpty { return }
        let actual = try await read(subject, try await subject.unpack(archives))
        try compare(actual, tree.seen, "the tree of \(archives.count) layers", root: false)
      }
    },
    ContractCase(
      "layers.model.like-tar", "a layer without deletions comes out as GNU tar extracts it: kinds, contents, modes, owners, times of files, attributes, links",
      "LayerApplier; LY-08; TA-08, TA-17, TA-21; GNU tar as the second opinion", needs: [.files],
      why: "an image unpacked is not the files that its builder packed"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 40, seconds: 9, shrinks: 150)) { attempt, subject in
        let plan = LayerPlan.draw(attempt, over: LayerTree(), deleting: false)
        attempt.does("layer: \(plan)", command: "tar --xattrs --xattrs-include='*' --numeric-owner -xpf LAYER")
        let archive = plan.archive
        let second = try await subject.tree("by tar")
        try await enter(subject, second) { root in try TarProgram.extract(archive, into: root) }
        var expected = try await read(subject, second)
        // GNU tar forgets the time of a directory that it comes back to.
        for (path, file) in expected.files where file.kind == .directory { expected.files[path]?.modified = nil }
        let mounts = try await subject.tree("applied")
        try await subject.apply(try await subject.stored(archive), to: mounts)
        try compare(try await read(subject, mounts), expected, "the tree, beside that of GNU tar,", root: false)
      }
    },
    ContractCase(
      "layers.model.round-trip", "what a differ makes of two trees, applied to the one, gives the other",
      "LayerDiffer, LayerApplier; LY-03, LY-10; TA-29", needs: [.files],
      why: "an image that was committed from a container must be the container's files"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 40, seconds: 9, shrinks: 150)) { attempt, subject in
        try await roundTrip(attempt, subject)
      }
    },
  ]

  private static func roundTrip(_ attempt: Attempt, _ subject: LayerSubject) async throws {
    var plan = LayerPlan.draw(attempt, over: LayerTree(), deleting: false)
    // What becomes of the attributes of a directory that is removed and made again without them is written nowhere.
    for place in plan.entries.indices where plan.entries[place].form == .directory { plan.entries[place].attributes.extended = [:] }
    let names = plan.applied(to: LayerTree()).names.keys.sorted()
    var changes: [LiveChange] = []
    try await attempt.sequence(atMost: 8) { changes.append(LiveChange.draw(attempt, names)) }
    attempt.does("lower: \(plan)")
    attempt.does("upper: \(changes.isEmpty ? "the same" : changes.map(\.description).joined(separator: ", "))")
    try await subject.apply(try await subject.stored(plan.archive), to: try await subject.tree("lower"))
    try await subject.snapshotter.commit("lower layer", key: "lower", labels: [:])
    let mounts = try await subject.tree("upper", on: "lower layer")
    try await subject.enter(mounts) { [changes] tree in
      let place = Place(root: try directory(of: tree))
      for change in changes { try change.perform(place, tree) }
    }
    let below = try await subject.snapshotter.view("below", parent: "lower layer", labels: [:])
    let layer = try await subject.differ.diff(
      from: below, to: mounts, into: subject.content, options: DiffOptions(mediaType: LayerSubject.plain, ref: "difference"))
    let again = try await subject.tree("again", on: "lower layer")
    try await subject.apply(layer, to: again)
    try compare(
      try await read(subject, again), try await read(subject, mounts), "the tree after the difference was applied", root: true)
  }

  private static func directory(of tree: any Tree) throws -> String {
    guard let root = tree.directory else { throw SuiteError("the tree of the mounts is no directory of this machine") }
    return root
  }
  private static func enter(_ subject: LayerSubject, _ mounts: [Mount], _ body: @escaping @Sendable (_ root: String) throws -> Void) async throws {
    try await subject.enter(mounts) { tree in try body(try directory(of: tree)) }
  }
  private static func read(_ subject: LayerSubject, _ mounts: [Mount]) async throws -> SeenTree {
    let seen = Visited<SeenTree>()
    try await enter(subject, mounts) { root in seen.append(try SeenTree.read(root)) }
    guard let tree = seen.items.first else { throw SuiteError("no tree was read") }
    return tree
  }

  /// - Parameter root: whether the root itself counts.
  private static func compare(_ actual: SeenTree, _ expected: SeenTree, _ what: String, root: Bool) throws {
    var (mine, wanted) = (actual, expected)
    if !root { (mine.files[""], wanted.files[""]) = (nil, nil) }
    if let found = mine.difference(from: wanted) {
      throw Finding(kind: "tree", what: "\(what) (wrong at \(found.paths.joined(separator: ", ")))", expected: found.expected, actual: found.actual)
    }
  }
}
