import ConformanceKit
import ConformanceSuites
import Protocols

/// Faults of content stores.
enum ContentMutants {
  static let all: [Mutant] = ingests + commits + aborts + reads + labels + walks + races + controls

  static func mutant(
    _ id: String, _ sentence: String, on base: String = "inproc:fake", kills: [String], symptom: String = "", threads: [String] = [],
    _ change: @escaping @Sendable (inout ContentStoreWrapper) -> Void
  ) -> Mutant {
    Mutant(id, sentence, in: .content, on: base, kills: kills, symptom: symptom, threads: threads) {
      $0.wrap(ContentSubject.self) { $0.store = ContentStoreWrapper($0.store, change) }
    }
  }

  /// Nobody may notice these.
  static let controls: [Mutant] = [
    mutant("identity-content", "every call of a content store is handed on unchanged", kills: []) {
      $0.wrapWriters { _ in }
      $0.wrapReaders { _ in }
    },
    mutant("slow-content", "every call of a content store takes a little longer", kills: []) {
      $0.onInfo = { base, digest in
        try await Task.sleep(for: .milliseconds(3))
        return try await base.info(digest)
      }
      $0.wrapWriters {
        $0.onWrite = { writer, bytes, offset in
          try await Task.sleep(for: .milliseconds(2))
          try await writer.base.write(bytes, at: offset)
        }
        $0.onCommit = { writer, expected, labels in
          try await Task.sleep(for: .milliseconds(3))
          return try await writer.base.commit(expected, labels: labels)
        }
      }
    },
    mutant("shuffled-content", "a content store is walked in another order", kills: []) {
      $0.onWalk = { base, filters, visit in
        let seen = Gathered<ContentInfo>()
        try await base.walk(filters) { seen.append($0) }
        for info in seen.items.sorted(by: { $0.digest.hex.reversed().lexicographicallyPrecedes($1.digest.hex.reversed()) }) { try await visit(info) }
      }
      $0.onStatuses = { base, filters in try await base.statuses(filters).sorted { $0.ref > $1.ref } }
    },
    mutant("wordy-content", "a content store says more in its errors", kills: []) {
      @Sendable func wordy<Value>(_ body: () async throws -> Value) async throws -> Value {
        do { return try await body() } catch let error as ContainerdError {
          throw ContainerdError(error.code, "rpc 17 on host seven: \(error.message) (see the log)")
        }
      }
      $0.onInfo = { base, digest in try await wordy { try await base.info(digest) } }
      $0.onDelete = { base, digest in try await wordy { try await base.delete(digest) } }
      $0.onAbort = { base, ref in try await wordy { try await base.abort(ref: ref) } }
      $0.onStatus = { base, ref in try await wordy { try await base.status(ref: ref) } }
    },
  ]
}
