import ConformanceKit
import Hashing
import Protocols

extension ContentMutants {
  private static func commitMutant(
    _ id: String, _ sentence: String, kills: [String], symptom: String = "", threads: [String] = [],
    _ onCommit: @escaping @Sendable (ContentWriterWrapper, IngestExpectation, Labels) async throws -> Digest
  ) -> Mutant { mutant(id, sentence, kills: kills, symptom: symptom, threads: threads) { $0.wrapWriters { $0.onCommit = onCommit } } }

  static let commits: [Mutant] = [
    commitMutant(
      "content-labels-lost", "labels of the commit are lost", kills: ["content.commit.makes-a-blob"], symptom: "labels given to the commit",
      threads: ["containerd/containerd#2642"]
    ) { writer, expected, _ in try await writer.base.commit(expected, labels: [:]) },
    commitMutant(
      "content-needs-expectation", "a commit must say what it expects", kills: ["content.commit.nothing-expected"], symptom: "must be given"
    ) { writer, expected, labels in
      if expected.digest == nil { throw ContainerdError.invalidArgument("the expected digest must be given") }
      return try await writer.base.commit(expected, labels: labels)
    },
    commitMutant("content-no-empty", "a blob must have a byte", kills: ["content.commit.empty-blob"], symptom: "nothing was written") {
      writer, expected, labels in
      if try await writer.base.status().offset == 0 { throw ContainerdError.failedPrecondition("ingest \(writer.ref): nothing was written") }
      return try await writer.base.commit(expected, labels: labels)
    },
    commitMutant("M083", "the size is not verified", kills: ["content.commit.wrong-size"], symptom: "it succeeded") { writer, expected, labels in
      try await writer.base.commit(IngestExpectation(digest: expected.digest), labels: labels)
    },
    commitMutant("M082", "the digest is not verified", kills: ["content.commit.wrong-digest", "content.commit.wrong-both"], symptom: "it succeeded") {
      writer, expected, labels in try await writer.base.commit(IngestExpectation(size: expected.size), labels: labels)
    },
    commitMutant(
      "content-size-is-enough", "where the size is right the digest is not verified", kills: ["content.commit.wrong-both"], symptom: "it succeeded"
    ) { writer, expected, labels in
      try await writer.base.commit(expected.size == nil ? expected : IngestExpectation(size: expected.size), labels: labels)
    },
    mutant(
      "content-opening-forgotten", "what the opening expected is forgotten at the commit", kills: ["content.commit.opening-expected"], symptom: "it succeeded"
    ) {
      $0.onWriter = { base, ref, expected in try await base.writer(ref: ref, expected: IngestExpectation()) }
    },
    commitMutant("content-first-word", "the opening's expectation wins over the commit's", kills: ["content.commit.last-word"], symptom: "failed precondition")
    {
      writer, expected, labels in try await writer.base.commit(writer.expected.or(expected), labels: labels)
    },
    mutant("content-commit-again", "a second commit gives the first one's answer", kills: ["content.commit.twice"], symptom: "a second commit") {
      $0.wrapWriters {
        let done = Kept<Digest?>(nil)
        $0.onCommit = { writer, expected, labels in
          if let digest = done.now { return digest }
          let digest = try await writer.base.commit(expected, labels: labels)
          done.set(digest)
          return digest
        }
      }
    },
    commitMutant(
      "M085", "committing a blob that is there succeeds", kills: ["content.commit.existing-blob", "content.race.one-blob"]
    ) { writer, expected, labels in
      let digest = try await writer.base.digest()
      do { return try await writer.base.commit(expected, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
        return digest
      }
    },
    commitMutant(
      "content-relabels", "committing a blob that is there replaces its labels", kills: ["content.commit.existing-blob"], symptom: "the blob's info",
      threads: ["containerd/containerd#2642"]
    ) { writer, expected, labels in
      let digest = try await writer.base.digest()
      do { return try await writer.base.commit(expected, labels: labels) } catch let error as ContainerdError where error.code == .alreadyExists {
        _ = try await writer.store.update(ContentInfo(digest: digest, labels: labels), fields: ["labels"])
        throw error
      }
    },
    mutant(
      "M086", "a commit that failed keeps its ref locked", kills: ["content.commit.wrong-*"], symptom: "locked",
      threads: ["containerd/containerd#2708", "containerd/containerd#2714"]
    ) {
      let locked = Kept<Set<String>>([])
      $0.onWriter = { base, ref, expected in
        if locked.now.contains(ref) { throw ContainerdError.unavailable("ref \(ref) locked") }
        return ContentWriterWrapper(try await base.writer(ref: ref, expected: expected), ref: ref, expected: expected, in: base) {
          $0.onCommit = { writer, expected, labels in
            do { return try await writer.base.commit(expected, labels: labels) } catch {
              locked.with { _ = $0.insert(ref) }
              throw error
            }
          }
        }
      }
    },
    commitMutant(
      "content-long-labels-dropped", "labels that are too long are dropped at the commit", kills: ["content.commit.label-limit"], symptom: "it succeeded"
    ) {
      writer, expected, labels in try await writer.base.commit(expected, labels: labels.filter { $0.key.utf8.count + $0.value.utf8.count <= 4096 })
    },
    commitMutant("content-only-sha256", "blobs are named by sha256 whatever was expected", kills: ["content.commit.sha512"]) { writer, expected, labels in
      try await writer.base.commit(expected.digest?.algorithm == .sha512 ? IngestExpectation(size: expected.size) : expected, labels: labels)
    },
  ]

  static let aborts: [Mutant] = [
    mutant("M091", "an abort leaves the ingest where it is", kills: ["content.abort.forgets"], symptom: "status after the abort") {
      $0.onAbort = { base, ref in _ = try await base.status(ref: ref) }
    },
    mutant("content-abort-nothing", "aborting what is not there succeeds", kills: ["content.abort.unknown"], symptom: "it succeeded") {
      $0.onAbort = { base, ref in do { try await base.abort(ref: ref) } catch let error as ContainerdError where error.code == .notFound {} }
    },
    mutant(
      "content-writes-after-abort", "a writer does not notice that its ingest was aborted", kills: ["content.abort.open-writer"],
      symptom: "write after the abort"
    ) {
      $0.wrapWriters {
        $0.onWrite = { writer, bytes, offset in
          do { try await writer.base.write(bytes, at: offset) } catch let error as ContainerdError where error.code == .notFound {}
        }
      }
    },
    mutant(
      "content-old-writer", "the writer of an aborted ingest commits the next ingest of that ref", kills: ["content.abort.old-writer"],
      symptom: "commit by the aborted writer"
    ) {
      let newest = Kept<[String: any ContentWriter]>([:])
      $0.onWriter = { base, ref, expected in
        let writer = try await base.writer(ref: ref, expected: expected)
        newest.with { $0[ref] = writer }
        return ContentWriterWrapper(writer, ref: ref, expected: expected, in: base) {
          $0.onCommit = { me, expected, labels in try await (newest.now[ref] ?? me.base).commit(expected, labels: labels) }
        }
      }
    },
  ]
}
