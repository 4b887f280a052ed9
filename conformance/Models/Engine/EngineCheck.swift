import ConformanceSuites
import ConformanceSystemSuites
import Protocols

/// What must hold of the engine itself: it is run by the tests, and by hand where there are none.
public struct EngineCheck: Sendable {
  public let name: String
  public let run: @Sendable () async throws -> Void

  public static let all: [EngineCheck] = [
    EngineCheck(name: "the simplest number that fails is found") {
      let found = try await counterexample { attempt in
        try await attempt.sequence(atMost: 30) {
          let number = attempt.draw(1000)
          attempt.does("\(number)")
          if number > 500 { throw Finding(kind: "big", what: "a number", expected: "at most 500", actual: "\(number)") }
        }
      }
      try expectEqual(found.story.map(\.text), ["501"], "the simplest sequence")
    },
    EngineCheck(name: "only the steps that are needed are left") {
      let found = try await counterexample(forgetful)
      try expectEqual(found.story.map(\.text), ["add 0", "add 0", "remove 0"], "the shortest way to a set that forgets")
    },
    EngineCheck(name: "an attempt can be made again from its choices") {
      let found = try await counterexample(forgetful)
      let again = try await Property(Property.Bounds(), forgetful).counterexample(seed: 99, replaying: found.choices)
      try expectEqual(again?.story ?? [], found.story, "the story of the replay")
      try expectEqual(again?.finding.description ?? "", found.finding.description, "the finding of the replay")
    },
    EngineCheck(name: "a seed makes the same run") {
      let (one, other) = (try await counterexample(forgetful), try await counterexample(forgetful))
      try expectEqual(one.choices, other.choices, "choices of two runs with one seed")
    },
    EngineCheck(name: "what holds has no counterexample") {
      let found = try await Property { attempt in
        try await attempt.sequence(atMost: 20) { if attempt.draw(10) > 9 { throw Finding(kind: "bound", what: "", expected: "", actual: "") } }
      }.counterexample(seed: 1)
      try expect(found == nil, "a counterexample of what always holds: \(String(describing: found?.description))")
    },
    EngineCheck(name: "calls that overlap may come in either order") {
      let history = [call(1, .prepare("a", parent: nil, [:]), .answer(.mounts(writable: true)), 1, 4), call(2, .stat("a"), absent, 2, 3)]
      try expectEqual(Linearizability.check(SnapshotModel(), history), .linearizable, "a stat while the key is made")
    },
    EngineCheck(name: "what came after cannot have been before") {
      let history = [call(1, .prepare("a", parent: nil, [:]), .answer(.mounts(writable: true)), 1, 2), call(2, .stat("a"), absent, 3, 4)]
      try expectEqual(Linearizability.check(SnapshotModel(), history), .impossible(explained: [0]), "a stat after the key was made")
    },
    EngineCheck(name: "two winners are one too many") {
      let won = Came<SnapshotAnswer>.answer(.mounts(writable: true))
      let history = [call(1, .prepare("a", parent: nil, [:]), won, 1, 3), call(2, .prepare("a", parent: nil, [:]), won, 2, 4)]
      try expect(Linearizability.check(SnapshotModel(), history) != .linearizable, "two that prepared one key were explained")
    },
    EngineCheck(name: "what the contract leaves open is kept open until an answer decides it") {
      let rules = ContentRules(wire: true, abortsWin: false)
      func states(after last: (ContentOperation, Came<ContentAnswer>)...) -> String? {
        var states = PossibleStates(ContentModel(rules))
        let first: [(ContentOperation, Came<ContentAnswer>)] = [(.open(0, ref: "r", size: nil, blob: nil), .answer(.done)), (.abort("r"), .answer(.done))]
        for (operation, came) in first + last { if let expected = states.follow(operation, came) { return expected } }
        return nil
      }
      let write = ContentOperation.write(0, "a", at: nil)
      let gone = Came<ContentAnswer>.failure(.notFound, "ingest r")
      try expect(states(after: (write, gone)) == nil, "a writer that was told of the abort")
      try expect(states(after: (write, .answer(.done))) == nil, "a writer that was not")
      try expect(states(after: (write, gone), (write, .answer(.done))) != nil, "a writer that was told, and wrote all the same")
      try expect(
        states(after: (write, .answer(.done)), (.statuses, .answer(.ingests([IngestFacts(ref: "r", offset: 1, total: 0)])))) != nil, "an ingest after its abort"
      )
    },
    EngineCheck(name: "keys that are linked are one component, others are not") {
      let parts = Linearizability.components([["a", "b"], ["c"], ["b", "d"], ["e"]], linked: [["c", "e"]], keys: { $0 })
      try expectEqual(parts.map(\.count).sorted(), [2, 2], "calls in each part")
    },
    EngineCheck(name: "layers delete before they add") {
      var (lower, plan) = (LayerPlan(), LayerPlan())
      lower.entries = [.directory("d"), .file("d/a", 1)]
      plan.entries = [.directory("d"), .file("d/b", 2), .opaque("d"), .whiteout("d/b")]
      let tree = plan.applied(to: lower.applied(to: LayerTree()))
      try expectEqual(tree.description, "d/ d/b", "the tree")
      try expectEqual(tree["d/b"]?.kind, .file(FileChange.contents(2)), "the file")
    },
    EngineCheck(name: "a reference of a reference keeps, a flat lease keeps no reference") {
      var model = GarbageModel()
      for (blob, reference) in [(0, 1), (1, 2), (2, 2), (3, 4), (4, 4)] { model.blobs[blob] = .init(references: [.blob(reference)], root: false) }
      model.images[0] = 0
      model.leases[0] = .init(flat: true, holds: [.blob(3)])
      model.collect()
      try expectEqual(model.blobs.keys.sorted(), [0, 1, 2, 3], "blobs left")
    },
  ]

  private static let absent = Came<SnapshotAnswer>.failure(.notFound, "snapshot a")
  private static func call(
    _ client: Int, _ operation: SnapshotOperation, _ came: Came<SnapshotAnswer>, _ began: Int, _ ended: Int
  ) -> HistoryCall<SnapshotOperation, SnapshotAnswer> {
    HistoryCall(client: client, operation: operation, came: came, began: began, ended: ended)
  }

  private static func counterexample(_ body: @escaping @Sendable (Attempt) async throws -> Void) async throws -> Counterexample {
    guard let found = try await Property(Property.Bounds(), body).counterexample(seed: 1) else { throw Mismatch(description: "no counterexample was found") }
    return found
  }

  /// A set that forgets an item that was added twice when it is removed once: it should still be gone only then.
  private static let forgetful: @Sendable (Attempt) async throws -> Void = { attempt in
    var counts: [Int: Int] = [:]
    try await attempt.sequence(atMost: 40) {
      let item = attempt.draw(5)
      if attempt.chance(40) {
        attempt.does("remove \(item)")
        let count = counts[item] ?? 0
        counts[item] = max(0, count - 1)
        if count > 1 { throw Finding(kind: "left", what: "item \(item) after its removal", expected: "gone", actual: "there \(count - 1) times") }
      } else {
        attempt.does("add \(item)")
        counts[item, default: 0] += 1
      }
    }
  }
}
