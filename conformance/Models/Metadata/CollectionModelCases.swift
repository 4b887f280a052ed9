import ConformanceSuites
import Protocols

/// Random calls, in sequence and at the same time, against the model of named collections.
public enum CollectionModelSuite {
  public static let cases: [ContractCase<FreshSubjects<CollectionSubject>>] = [
    ContractCase(
      "metadata.model.names", "whatever the order of calls, images, containers, leases and namespaces answer as their contracts say",
      "ImageStore, ContainerStore, LeaseStore, NamespaceStore; IMG-01, CTR-01, LEA-01, LEA-04, NS-04",
      why: "a name that remembers what another thing of that name once had points at the wrong image"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 150, seconds: 6)) { attempt, subject in
        let driver = CollectionDriver(subject)
        let generator = CollectionGenerator(attempt, names: ["a", "b", "c"])
        var states = PossibleStates(CollectionModel(emptyNamespaces: subject.emptyNamespaces))
        try await attempt.sequence(atMost: 40) {
          try await step(generator.draw(attempt, states.likely), &states, driver, attempt)
        }
        for kind in CollectionOperation.Kind.allCases { try await step(.list(kind), &states, driver, attempt) }
        for lease in states.likely.names(.lease) { try await step(.held(lease: lease), &states, driver, attempt) }
      }
    }
  ]

  public static let concurrent: [ContractCase<FreshSubjects<CollectionSubject>>] = [
    ContractCase(
      "metadata.model.linearizable",
      "calls of several clients about images, containers, leases and namespaces answer as if each had happened at one moment",
      "ImageStore, ContainerStore, LeaseStore, NamespaceStore, concurrency; MetadataStore law 1; IMG-01, CTR-01, LEA-01, LEA-04, NS-04, REF-M01",
      why: "a puller and a labeller of one image, two owners of one lease: what one of them wrote is lost, and nobody is told"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 250, seconds: 8, shrinks: 250, shrinkSeconds: 15, repeats: 3)) { attempt, subject in
        try await concurrently(attempt, CollectionDriver(subject), CollectionModel(emptyNamespaces: subject.emptyNamespaces))
      }
    }
  ]

  private static func step(
    _ operation: CollectionOperation, _ states: inout PossibleStates<CollectionModel>, _ driver: CollectionDriver, _ attempt: Attempt
  ) async throws {
    attempt.does(operation.description)
    let came = try await driver.perform(operation)
    attempt.came("\(came)")
    if let expected = states.follow(operation, came) {
      throw Finding(kind: operation.verb, what: operation.description, expected: expected, actual: "\(came)")
    }
  }

  private static func concurrently(_ attempt: Attempt, _ driver: CollectionDriver, _ start: CollectionModel) async throws {
    let names = attempt.chance(50) ? ["a"] : ["a", "b"]
    var generator = CollectionGenerator(attempt, names: names)
    generator.removes = true
    var states = PossibleStates(start)
    try await attempt.sequence(atMost: 3) { try await step(generator.draw(attempt, states.likely), &states, driver, attempt) }
    var scripts: [[CollectionOperation]] = []
    for _ in 0..<(2 + attempt.draw(3)) {
      var guess = states.likely
      var script: [CollectionOperation] = []
      try await attempt.sequence(atMost: 5) {
        let operation = generator.draw(attempt, guess)
        _ = guess.expects(operation)
        script.append(operation)
      }
      scripts.append(script)
    }
    let run = ConcurrentRun<CollectionModel>(scripts) { try await driver.perform($0) }
    let closing = generator.kinds.flatMap { kind in names.map { CollectionOperation.get(kind, $0) } + (kind == .lease ? names.map { .held(lease: $0) } : []) }
    let history = try await run.run(closing: closing)
    try ConcurrentRun.judge(states, history, linked: [], keys: { $0.keys(of: names) }, attempt)
  }
}
