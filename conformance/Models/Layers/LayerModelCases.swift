import ConformanceSuites
import Protocols

/// Generated archives against the rules of the image specification.
public enum LayerModelSuite {
  public static let cases: [ContractCase<FreshSubjects<LayerSubject>>] = [
    ContractCase(
      "layers.model.apply", "whatever layers hold and in whatever order, the tree is what the image specification says",
      "LayerApplier; LY-08, LY-09, LY-10, LY-14", needs: [.files],
      why: "builders write entries and whiteouts in orders of their own; a deleted secret that is still there is a leak"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 40, seconds: 7, shrinks: 150)) { attempt, subject in
        var tree = FileTree()
        var archives: [[UInt8]] = []
        try await attempt.sequence(atMost: 3) {
          let plan = LayerPlan.draw(attempt, over: tree)
          attempt.does("layer \(archives.count + 1): \(plan)")
          archives.append(plan.archive)
          tree = plan.applied(to: tree)
        }
        if archives.isEmpty { return }
        try await compare(subject, try await subject.unpack(archives), tree, "the tree of \(archives.count) layers", attempt)
      }
    },
    ContractCase(
      "layers.model.round-trip", "what a differ makes of two trees, applied to the one, gives the other", "LayerDiffer; LY-10", needs: [.files],
      why: "an image that was committed from a container must be the container's files"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 25, seconds: 7, shrinks: 100)) { attempt, subject in
        try await roundTrip(attempt, subject)
      }
    },
  ]

  private static func roundTrip(_ attempt: Attempt, _ subject: LayerSubject) async throws {
    let plan = LayerPlan.draw(attempt, over: FileTree())
    let lower = plan.applied(to: FileTree())
    var upper = lower
    var changes: [FileChange] = []
    try await attempt.sequence(atMost: 6) {
      let change = FileChange.draw(attempt, upper)
      changes.append(change)
      upper.apply(change)
    }
    attempt.does("lower: \(plan)")
    attempt.does("upper: \(changes.isEmpty ? "the same" : changes.map(\.description).joined(separator: ", "))")
    try await subject.apply(try await subject.stored(plan.archive), to: try await subject.tree("lower"))
    try await subject.snapshotter.commit("lower layer", key: "lower", labels: [:])
    let mounts = try await subject.tree("upper", on: "lower layer")
    try await subject.enter(mounts) { [changes] tree in for change in changes { try change.perform(tree) } }
    let below = try await subject.snapshotter.view("below", parent: "lower layer", labels: [:])
    let layer = try await subject.differ.diff(
      from: below, to: mounts, into: subject.content, options: DiffOptions(mediaType: LayerSubject.plain, ref: "difference"))
    let again = try await subject.tree("again", on: "lower layer")
    try await subject.apply(layer, to: again)
    try await compare(subject, again, upper, "the tree after the difference was applied", attempt)
  }

  private static func compare(_ subject: LayerSubject, _ mounts: [Mount], _ expected: FileTree, _ what: String, _ attempt: Attempt) async throws {
    let seen = Visited<FileTree>()
    try await subject.enter(mounts) { seen.append(try FileTree.read($0)) }
    let actual = seen.items.first ?? FileTree()
    if actual != expected {
      let wrong = Set(actual.nodes.keys).union(expected.nodes.keys).filter { actual.nodes[$0] != expected.nodes[$0] }.sorted()
      throw Finding(kind: "tree", what: "\(what) (wrong at \(wrong.joined(separator: ", ")))", expected: "\(expected)", actual: "\(actual)")
    }
  }
}
