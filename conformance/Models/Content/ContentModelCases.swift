import ConformanceSuites
import Protocols

/// Random sequences against the model of content stores.
public enum ContentModelSuite {
  public static let cases: [ContractCase<FreshSubjects<ContentSubject>>] = [
    ContractCase(
      "content.model.random", "whatever the order of calls, a content store answers as its contract says",
      "ContentStore, all laws; CON-01, CON-02, CON-05, CON-07, CON-08, CON-09",
      why: "an ingest that goes wrong only after an abort and a resume is met by every user with a bad network",
      threads: ["containerd/containerd#2642", "containerd/containerd#3394"]
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 250, seconds: 8)) { attempt, subject in
        let driver = ContentDriver(subject)
        do { try await sequence(attempt, driver, subject.rules) } catch {
          await driver.end()
          throw error
        }
        await driver.end()
      }
    }
  ]

  public static let concurrent: [ContractCase<FreshSubjects<ContentSubject>>] = [
    ContractCase(
      "content.model.linearizable", "calls of several clients answer as if each had happened at one moment", "ContentStore, concurrency; CON-09",
      why: "layers are pulled side by side, and two pulls of one layer share a ref"
    ) { fresh in
      try await fresh.hold(Property.Bounds(attempts: 200, seconds: 6, shrinks: 250, shrinkSeconds: 15, repeats: 3)) { attempt, subject in
        let driver = ContentDriver(subject)
        do { try await ContentConcurrency.check(attempt, driver, subject.rules) } catch {
          await driver.end()
          throw error
        }
        await driver.end()
      }
    }
  ]

  private static func sequence(_ attempt: Attempt, _ driver: ContentDriver, _ rules: ContentRules) async throws {
    var states = PossibleStates(ContentModel(rules))
    var opened = 0
    let generator = ContentGenerator()
    func step(_ operation: ContentOperation, verb: String? = nil) async throws {
      let came = try await driver.perform(operation)
      if verb == nil {
        attempt.does(operation.description, command: operation.command)
        attempt.came("\(came)")
      }
      if let expected = states.follow(operation, came) {
        throw Finding(kind: verb ?? operation.verb, what: verb ?? operation.description, expected: expected, actual: "\(came)")
      }
    }
    try await attempt.sequence(atMost: 50) {
      if states.likely.writers[opened] != nil { opened += 1 }
      try await step(generator.draw(attempt, states.likely, next: opened))
      try await step(.walk([]), verb: "all blobs, as a walk tells them")
      try await step(.statuses, verb: "all ingests, as the store tells them")
    }
    for blob in states.likely.blobs.keys.sorted() { try await step(.read(blob, at: 0, count: 100)) }
  }
}
