import ConformanceModels
import ConformanceSuites
import Protocols
import Synchronization

/// Random faults of a registry against what every client that pulls must keep, whatever happens.
public enum PullModelSuite {
  public static let cases: [ContractCase<FreshSubjects<PullSubject>>] = [
    ContractCase(
      "pull.model.faults",
      "whatever a registry does wrong, a pull ends: with every byte right, or with an error and nothing wrong stored; and once it does right, the next pull succeeds",
      "FE-04, FE-05, FE-06, FE-07, FE-08, FE-14, FE-15, FE-25, FE-26; DS-14, DS-15, DS-17; IM-04, IM-06",
      why: "one fault each is what clients are tested with; the third broken connection behind a proxy without ranges is what users have",
      threads: ["containerd/containerd#5921", "containerd/containerd#12291", "containerd/containerd#1893"]
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 80, seconds: 14, shrinks: 120, shrinkSeconds: 25)) { attempt, subject in
        try await check(attempt, subject, patience: fresh.patience)
      }
    }
  ]

  private static let layers = 2

  private static func check(_ attempt: Attempt, _ subject: PullSubject, patience: Double) async throws {
    let wantsToken = attempt.chance(30)
    if wantsToken { attempt.does("the registry wants a token") }
    var faults: [RegistryFault] = []
    try await attempt.sequence(atMost: 1 + attempt.draw(4)) {
      let silence = subject.endsSilence && !faults.contains { if case .silence = $0.kind { true } else { false } }
      let fault = RegistryFault.draw(attempt, layers: layers, silence: silence)
      attempt.does("\(fault)")
      faults.append(fault)
    }
    var subject = subject
    subject.limit = min(subject.limit, Int(20 * patience))
    let steps = try await FaultyRegistry.with { [subject, faults] registry in
      let image = TestImage(layers: layers, bytes: 20_000)
      image.add(to: registry)
      registry.script(script(faults, image, wantsToken: wantsToken))
      let faulty = try await pull(subject, registry, image, "a pull from a registry with these faults") { ending in
        try await subject.expectTruth(ending, "the pull", image)
      }
      if faulty.finding != nil { return [faulty] }
      registry.script(script([], image, wantsToken: wantsToken))
      let sound = try await pull(subject, registry, image, "the next pull, from the same registry without a fault") { ending in
        try await subject.expectWhole(ending, "the next pull", image)
      }
      return [faulty, sound]
    }
    for step in steps {
      attempt.does(step.what)
      attempt.came(step.outcome)
      if let finding = step.finding { throw finding }
    }
  }

  private struct Step: Sendable {
    var what: String
    var outcome: String
    var finding: Finding?
  }

  private static func pull(
    _ subject: PullSubject, _ registry: FaultyRegistry, _ image: TestImage, _ what: String, _ judge: (PullSubject.Ending) async throws -> Void
  ) async throws -> Step {
    let ending: PullSubject.Ending
    do { ending = try await subject.pulling(PullSuite.name(registry)) } catch let late as Mismatch {
      return Step(
        what: what, outcome: "no end",
        finding: Finding(kind: Finding.hanging, what: what, expected: "an end within \(subject.limit) s", actual: "none (\(late))"))
    }
    let said = told(ending.said, registry, image)
    var step = Step(what: what, outcome: ending.succeeded ? "succeeded" : "failed: \(said)")
    if ending.untyped { step.finding = Finding(kind: "untyped", what: what, expected: "an error of the contract's classes", actual: said) }
    do { try await judge(ending) } catch let mismatch as Mismatch {
      step.finding = Finding(
        kind: what, what: what, expected: "every byte right, or an error and nothing wrong stored", actual: told(mismatch.description, registry, image))
    }
    return step
  }

  /// Words without what is another each time.
  private static func told(_ text: String, _ registry: FaultyRegistry, _ image: TestImage) -> String {
    var text = String(text.suffix(400)).replacing(registry.host, with: "REGISTRY")
    for (number, layer) in image.layers.enumerated() { text = text.replacing(layer.descriptor.digest.hex, with: "LAYER\(number + 1)") }
    return text.replacing(image.config.descriptor.digest.hex, with: "CONFIG").replacing(image.manifest.descriptor.digest.hex, with: "MANIFEST")
  }

  /// The first fault that a request meets changes its answer; tokens are as good as the registry says.
  private static func script(_ faults: [RegistryFault], _ image: TestImage, wantsToken: Bool) -> FaultyRegistry.Script {
    let counts = Counts()
    return { request, registry in
      if wantsToken, request.kind != .token, !request.target.hasPrefix("/elsewhere"), request.token != "the-token" { return RegistryFault.challenge(registry) }
      guard request.method == "GET" || request.kind == .token, let place = place(of: request, image) else { return nil }
      let number = counts.next(place)
      guard let fault = faults.first(where: { $0.place == place && $0.strikes(number) }), !fault.isAnotherImage(for: request) else { return nil }
      return fault.changed(registry.usual(request), request, registry)
    }
  }

  private static func place(of request: RegistryRequest, _ image: TestImage) -> RegistryFault.Place? {
    switch request.kind {
    case .manifest: return .manifest
    case .token: return .token
    case .blob("\(image.config.descriptor.digest)"): return .config
    case .blob(let digest): return image.layers.firstIndex { "\($0.descriptor.digest)" == digest }.map { .layer($0) }
    default: return nil
    }
  }

  private final class Counts: Sendable {
    private let counts = Mutex<[RegistryFault.Place: Int]>([:])
    func next(_ place: RegistryFault.Place) -> Int {
      counts.withLock { counts in
        counts[place, default: 0] += 1
        return counts[place, default: 0]
      }
    }
  }
}
