import ConformanceKit
import ConformanceWireSuites
import Protocols

/// Faults of clients that pull images.
enum PullMutants {
  private static func mutant(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", _ change: @escaping @Sendable (inout PullSubject) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .fetch, on: "inproc:pull", kills: kills, symptom: symptom, scope: ["pull.*"]) { $0.wrap(PullSubject.self) { change(&$0) } }
  }

  private static func storing(_ subject: inout PullSubject, _ change: @escaping @Sendable ([UInt8]) -> [UInt8]?) {
    guard let stored = subject.stored else { return }
    subject.stored = { try await stored($0).flatMap(change) }
  }

  static let all: [Mutant] = [
    mutant("identity-pull", "a client that pulls is left as it is", kills: []) { storing(&$0) { $0 } },
    mutant(
      "pull-always-done", "a pull that failed ends as if it had not",
      kills: [
        "pull.lie.*", "pull.resolve.absent", "pull.resolve.html", "pull.resolve.empty", "pull.resolve.by-digest.wrong-body", "pull.auth.refused",
        "pull.auth.forbidden", "pull.auth.no-token-in-words", "pull.redirect.loop", "pull.index.no-match", "pull.transfer.server-error-always",
      ], symptom: "but it succeeded"
    ) { subject in
      let pull = subject.pull
      subject.pull = { .init(succeeded: true, said: try await pull($0).said) }
    },
    mutant(
      "pull-stores-nothing", "a pull that succeeded has stored nothing",
      kills: [
        "pull.plain.whole", "pull.resolve.type-parameters", "pull.resolve.no-digest-header", "pull.resolve.by-digest", "pull.auth.token",
        "pull.transfer.chunked",
        "pull.transfer.slow", "pull.redirect.*", "pull.index.own-platform",
      ], symptom: "the store has nothing"
    ) { storing(&$0) { _ in nil } },
    mutant(
      "pull-stores-short", "what is stored lacks its last byte",
      kills: [
        "pull.transfer.cut-always", "pull.transfer.cut-without-length", "pull.transfer.reset-once", "pull.transfer.range-ignored", "pull.transfer.wrong-range",
        "pull.transfer.stalled", "pull.lie.embedded-data", "pull.plain.whole",
      ]
    ) { storing(&$0) { Array($0.dropLast()) } },
    mutant("M112", "a client says its token when it fails", kills: ["pull.auth.no-token-in-words"], symptom: "holds the token") { subject in
      let pull = subject.pull
      subject.pull = { reference in
        let ending = try await pull(reference)
        return .init(succeeded: ending.succeeded, said: ending.said + " (Authorization: Bearer secret-token-4711)")
      }
    },
    mutant("M118", "a client fetches more blobs at once than it promises", kills: ["pull.transfer.at-once"], symptom: "were fetched at once") {
      $0.parallelism = 2
    },
    mutant("pull-fails-always", "no pull ever succeeds", kills: ["pull.plain.whole", "pull.lie.then-right"], symptom: "but it failed") { subject in
      subject.pull = { _ in .init(succeeded: false, said: "no network") }
    },
  ]
}
