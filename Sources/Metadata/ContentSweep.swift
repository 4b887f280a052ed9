import GRDB
import Protocols
import SystemKit

/// Removes the blobs and ingests that the backend has and no row names, and the rows of ingests that the backend has not.
///
/// All with the gate closed: a blob that is being deleted must not be linked into a namespace meanwhile.
struct ContentSweep: Sendable {
  let store: SQLiteMetadataStore

  private struct IngestRow: Sendable {
    var namespace: String
    var ref: String
    var backendRef: String
    var expected: String?
  }

  private struct Known: Sendable {
    var digests: Set<String>
    var ingests: [IngestRow]
  }

  /// What went wrong; never throws, so that the other backends have their turn.
  func run() async -> [String] {
    do {
      return try await store.contentGate.closing {
        let known = try await known()
        let (blobs, failures) = try await sweepBlobs(known)
        return failures + (try await sweepIngests(known, blobs))
      }
    } catch { return ["content: \(error)"] }
  }

  private func known() async throws -> Known {
    try await store.read { db in
      let ingests = try Row.fetchAll(db, sql: "SELECT namespace, ref, backendRef, expected FROM ingest").map {
        IngestRow(namespace: $0["namespace"], ref: $0["ref"], backendRef: $0["backendRef"], expected: $0["expected"])
      }
      // What an open writer is about to link is in use as well.
      let digests = Set(try String.fetchAll(db, sql: "SELECT DISTINCT digest FROM content")).union(ingests.compactMap(\.expected))
      return Known(digests: digests, ingests: ingests)
    }
  }

  private func sweepBlobs(_ known: Known) async throws -> (present: Set<String>, failures: [String]) {
    let walked = Walked<ContentInfo>()
    try await store.backendContent.walk(.all) { await walked.append($0) }
    var present: Set<String> = []
    var failures: [String] = []
    for info in await walked.items {
      let digest = info.digest.description
      if known.digests.contains(digest) {
        present.insert(digest)
        continue
      }
      CrashPoint.pass("collect.blob")
      do { try await store.backendContent.delete(info.digest) } catch let error as ContainerdError where error.code == .notFound {
      } catch { failures.append("content \(digest): \(error)") }
    }
    return (present, failures)
  }

  private func sweepIngests(_ known: Known, _ blobs: Set<String>) async throws -> [String] {
    let refs = Set(known.ingests.map(\.backendRef))
    let statuses = Set(try await store.backendContent.statuses(.all).map(\.ref))
    var failures: [String] = []
    for ref in statuses.subtracting(refs).sorted() {
      CrashPoint.pass("collect.ingest")
      store.holds.revoke(ref)
      do { try await store.backendContent.abort(ref: ref) } catch let error as ContainerdError where error.code == .notFound {
      } catch { failures.append("ingest \(ref): \(error)") }
    }
    // Of a crash between our row and the backend's ingest, or between the backend's commit and our row. A linked one has no bytes of its own.
    let stale = known.ingests.filter { !statuses.contains($0.backendRef) && !($0.expected.map(blobs.contains) ?? false) }
    if !stale.isEmpty {
      try await store.write { db in
        for ingest in stale {
          try db.execute(sql: "DELETE FROM ingest WHERE namespace = ? AND backendRef = ?", arguments: [ingest.namespace, ingest.backendRef])
          if db.changesCount > 0 { try db.removeFromLeases(ingest.namespace, type: "ingests", id: ingest.ref) }
        }
      }
    }
    return failures
  }
}
