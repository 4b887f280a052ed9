import ConformanceKit
import Hashing
import Protocols

extension ContentMutants {
  static let ingests: [Mutant] = [
    mutant(
      "content-early", "a blob is listed under its expected digest before it is committed", kills: ["content.ingest.unseen-until-commit"],
      symptom: "info of an uncommitted blob"
    ) {
      $0.onInfo = { base, digest in
        for ingest in try await base.statuses(.all) where ingest.expected == digest { return ContentInfo(digest: digest, size: ingest.total) }
        return try await base.info(digest)
      }
    },
    mutant("content-status-thin", "an ingest forgets which digest was expected", kills: ["content.ingest.status-expected"], symptom: "expected digest") {
      $0.onStatus = { base, ref in
        var status = try await base.status(ref: ref)
        status.expected = nil
        return status
      }
    },
    mutant("content-status-total", "an ingest forgets which size was expected", kills: ["content.ingest.status"], symptom: "total") {
      $0.onStatus = { base, ref in
        var status = try await base.status(ref: ref)
        status.total = 0
        return status
      }
    },
    mutant("content-empty-ref", "an empty ref is given a name", kills: ["content.ingest.empty-ref"], symptom: "it succeeded") {
      $0.onWriter = { base, ref, expected in try await base.writer(ref: ref.isEmpty ? "unnamed" : ref, expected: expected) }
    },
    mutant("M089", "a resumed ingest has lost its last byte", kills: ["content.ingest.resume"], symptom: "offset of the second writer") {
      $0.onWriter = { base, ref, expected in
        let writer = try await base.writer(ref: ref, expected: expected)
        let offset = try await writer.status().offset
        if offset > 0 { try await writer.truncate(to: offset - 1) }
        return writer
      }
    },
    mutant("M088", "a resumed ingest hashes only what is written from then on", kills: ["content.ingest.resume"], symptom: "digest of the bytes so far") {
      $0.onWriter = { base, ref, expected in
        let writer = try await base.writer(ref: ref, expected: expected)
        if try await writer.status().offset == 0 { return writer }
        return ContentWriterWrapper(writer, ref: ref, expected: expected, in: base) { $0.onDigest = { _ in Digest.of([]) } }
      }
    },
    mutant(
      "content-two-writers", "a second writer of an open ref gets an ingest of its own",
      kills: ["content.ingest.one-writer", "content.race.one-ref"]
    ) {
      $0.onWriter = { base, ref, expected in
        do { return try await base.writer(ref: ref, expected: expected) } catch let error as ContainerdError where error.code == .unavailable {
          return try await base.writer(ref: "\(ref) \(UInt64.random(in: 0...UInt64.max))", expected: expected)
        }
      }
    },
    mutant(
      "content-close-twice", "closing a writer again frees the ref of whoever has it now", kills: ["content.ingest.close-twice"],
      symptom: "a ref whose earlier writer was closed twice"
    ) {
      let holders = Kept<[String: any ContentWriter]>([:])
      $0.onWriter = { base, ref, expected in
        let writer = try await base.writer(ref: ref, expected: expected)
        holders.with { $0[ref] = writer }
        let closed = Kept(false)
        return ContentWriterWrapper(writer, ref: ref, expected: expected, in: base) {
          $0.onClose = { me in
            let again = closed.with { value in
              defer { value = true }
              return value
            }
            await (again ? holders.now[ref] ?? me.base : me.base).close()
          }
        }
      }
    },
    mutant(
      "content-closed-writes", "a closed writer takes bytes and drops them", kills: ["content.ingest.closed-writer"], symptom: "write to a closed writer"
    ) {
      $0.wrapWriters {
        let closed = Kept(false)
        $0.onWrite = { writer, bytes, offset in if !closed.now { try await writer.base.write(bytes, at: offset) } }
        $0.onClose = { writer in
          closed.set(true)
          await writer.base.close()
        }
      }
    },
    mutant(
      "content-stale-size", "an ingest goes on although another size is expected now", kills: ["content.ingest.other-size"], symptom: "offset after opening"
    ) {
      $0.onWriter = { base, ref, expected in
        do { _ = try await base.status(ref: ref) } catch { return try await base.writer(ref: ref, expected: expected) }
        return try await base.writer(ref: ref, expected: IngestExpectation(digest: expected.digest))
      }
    },
    mutant(
      "content-stale-end", "the end of what an ingest of another size had stays behind", kills: ["content.ingest.other-size-shorter"],
      symptom: "offset of the ingest after opening"
    ) {
      let stale = Memory<[String: Int64]>([:])
      $0.onWriter = { base, ref, expected in
        let old = try await base.statuses(.all).first { $0.ref == ref }
        let writer = try await base.writer(ref: ref, expected: expected)
        if let old, let size = expected.size, old.total != 0, old.total != size { stale.with { $0[ref] = old.offset } }
        return writer
      }
      $0.onStatus = { base, ref in
        var status = try await base.status(ref: ref)
        status.offset = max(status.offset, stale.value[ref] ?? 0)
        return status
      }
    },
    mutant("M097", "opening does not ask whether the blob is there", kills: ["content.ingest.existing-blob"], symptom: "it succeeded") {
      $0.onWriter = { base, ref, expected in try await base.writer(ref: ref, expected: IngestExpectation(size: expected.size)) }
    },
    mutant("content-refused-locks", "a writer that was refused leaves its ref locked", kills: ["content.ingest.existing-blob"]) {
      $0.onWriter = { base, ref, expected in
        do { return try await base.writer(ref: ref, expected: expected) } catch let error as ContainerdError where error.code == .alreadyExists {
          let forgotten = try await base.writer(ref: ref, expected: IngestExpectation())
          await forgotten.close()
          throw error
        }
      }
    },
    mutant("content-ref-paths", "refs are turned into file names, and listed so", kills: ["content.ingest.odd-refs"], symptom: "refs listed") {
      @Sendable func name(_ ref: String) -> String { String(ref.map { $0 == "/" ? "_" : $0 }) }
      $0.onWriter = { base, ref, expected in try await base.writer(ref: name(ref), expected: expected) }
      $0.onStatus = { base, ref in try await base.status(ref: name(ref)) }
      $0.onAbort = { base, ref in try await base.abort(ref: name(ref)) }
    },
    mutant("content-offset-ignored", "a write goes to the end, whatever its offset", kills: ["content.write.offset"], symptom: "it succeeded") {
      $0.wrapWriters { $0.onWrite = { writer, bytes, _ in try await writer.base.write(bytes, at: nil) } }
    },
    mutant("content-small-writes", "one write takes four mebibytes at most", kills: ["content.write.large"], symptom: "resource exhausted") {
      $0.wrapWriters {
        $0.onWrite = { writer, bytes, offset in
          if bytes.count > 4 << 20 { throw ContainerdError(.resourceExhausted, "message larger than max (\(bytes.count) vs. \(4 << 20))") }
          try await writer.base.write(bytes, at: offset)
        }
      }
    },
    mutant("M092", "cut to nothing, an ingest keeps the hash of what it had", kills: ["content.truncate.start-over"], symptom: "digest of nothing") {
      $0.wrapWriters {
        let stale = Kept<Digest?>(nil)
        $0.onTruncate = { writer, offset in
          let digest = try await writer.base.digest()
          stale.set(digest)
          try await writer.base.truncate(to: offset)
        }
        $0.onDigest = { writer in if let digest = stale.now { return digest } else { return try await writer.base.digest() } }
      }
    },
    mutant("content-truncate-lenient", "a cut beyond the end is nothing", kills: ["content.truncate.anywhere"], symptom: "it succeeded") {
      $0.wrapWriters {
        $0.onTruncate = { writer, offset in
          do { try await writer.base.truncate(to: offset) } catch let error as ContainerdError where error.code == .outOfRange {}
        }
      }
    },
  ]
}
