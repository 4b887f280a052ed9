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

  /// Where a registry has the manifest of `HOST/NAME:TAG`.
  private static func manifest(of reference: String) -> String {
    let slash = reference.firstIndex(of: "/") ?? reference.endIndex
    let tag = reference.lastIndex(of: ":") ?? reference.endIndex
    return "http://\(reference[..<slash])/v2\(reference[slash..<tag])/manifests/\(reference[tag...].dropFirst())"
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
    mutant(
      "pull-header-believed", "a manifest is stored under the digest that the registry's header tells", kills: ["pull.resolve.lying-digest-header"],
      symptom: "which are not the blob's"
    ) { subject in
      guard let stored = subject.stored else { return }
      let pull = subject.pull
      let believed = Kept<[Digest: [UInt8]]>([:])
      subject.pull = { reference in
        let reply = try await PlainRequest.get(manifest(of: reference))
        if let digest = try reply.headers["docker-content-digest"].map(Digest.init(parsing:)) { believed.with { $0[digest] = reply.body } }
        return try await pull(reference)
      }
      subject.stored = { digest in
        if let bytes = believed.now[digest] { return bytes }
        return try await stored(digest)
      }
    },
    mutant("pull-takes-anything", "a client does not say which manifests it understands", kills: ["pull.resolve.accept"], symptom: "accepts \"\"") {
      subject in
      let pull = subject.pull
      subject.pull = { reference in
        _ = try await PlainRequest.get(manifest(of: reference))
        return try await pull(reference)
      }
    },
    mutant(
      "pull-deep-is-done", "a client gives up on deep indexes, and says that it is done", kills: ["pull.index.deep"], symptom: "the pull succeeded, but of"
    ) {
      subject in
      let pull = subject.pull
      subject.pull = { reference in
        var ending = try await pull(reference)
        if ending.said.contains("index in index") { ending.succeeded = true }
        return ending
      }
    },
    mutant(
      "pull-token-for-all", "the token goes to every address, a layer's own included", kills: ["pull.manifest.foreign-urls"], symptom: "was shown a token"
    ) { subject in
      let pull = subject.pull
      subject.pull = { reference in
        let ending = try await pull(reference)
        let token = [("Authorization", "Bearer the-token")]
        let text = String(decoding: try await PlainRequest.get(manifest(of: reference), headers: token).body, as: UTF8.self)
        for part in text.split(separator: "\"") where part.hasPrefix("http://") { _ = try await PlainRequest.get(String(part), headers: token) }
        return ending
      }
    },
    mutant("pull-fails-always", "no pull ever succeeds", kills: ["pull.plain.whole", "pull.lie.then-right"], symptom: "but it failed") { subject in
      subject.pull = { _ in .init(succeeded: false, said: "no network") }
    },
  ]
}
