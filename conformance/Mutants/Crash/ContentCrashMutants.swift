import CLinux
import ConformanceKit
import ConformanceSuites
import Protocols
import SystemKit

extension CrashMutants {
  /// Faults of content stores that were killed over a call, or ended.
  static let contentFaults: [Mutant] = [
    contentProcess(
      "CR40", "an ingest starts at zero after a kill",
      kills: ["crash.content.write", "crash.content.resume", "crash.content.free-ref", "restart.content.walk", "restart.content.shutdown"],
      threads: ["containerd/containerd#2642"],
      .init(beforeAgain: { process in try ingests(process) { path, _ in truncate(path, 0) } })),
    contentProcess(
      "CR41", "the last byte of an ingest is lost in a kill", kills: ["crash.content.write", "crash.content.resume"], symptom: "offset",
      .init(beforeAgain: { process in try ingests(process) { path, size in truncate(path, max(0, size - 1)) } })),
    contentProcess(
      "CR42", "a byte of an ingest is another one after a kill", kills: ["crash.content.resume"], symptom: "digest",
      .init(beforeAgain: { process in
        try ingests(process) { path, size in
          if size < 10 { return }
          let file = try Files.open(path, O_WRONLY)
          let raw = file.raw
          try check("pwrite", path) { pwrite(raw, "?", 1, off_t(size / 2)) }
        }
      })),
    contentProcess(
      "CR43", "a blob whose commit was killed is listed with half of its bytes", kills: ["crash.content.commit"], symptom: "after a kill",
      .init(beforeAgain: { process in
        // A blob is complete before it has its name: its directory is newer than an ingest that has lost its bytes.
        for name in try Files.names(in: process.root + "/blobs/sha256") {
          let path = "\(process.root)/blobs/sha256/\(name)"
          if try Files.status(path).st_size == 6 { truncate(path, 3) }
        }
      })),
    contents("CR44", "labels of a commit that was killed are lost", kills: ["crash.content.commit"], symptom: "labels") { wrapper, ghosts, _ in
      wrapper.wrapWriters {
        $0.onCommit = { writer, expected, labels in
          do { return try await writer.base.commit(expected, labels: labels) } catch {
            if let digest = expected.digest { ghosts.blobs.with { $0[digest] = ContentInfo(digest: digest, size: 0) } }
            throw error
          }
        }
      }
      // Where labels are kept apart from the blob, they may come second.
      wrapper.onWalk = { base, filters, visit in
        try await base.walk(filters) { info in
          var info = info
          if ghosts.blobs.now[info.digest] != nil { info.labels = [:] }
          try await visit(info)
        }
      }
    },
    contents("CR45", "an abort that was killed leaves the beginning of the ingest", kills: ["crash.content.abort"], symptom: "after a kill") {
      wrapper, ghosts, _ in
      wrapper.onAbort = { base, ref in
        let old = try await base.status(ref: ref)
        do { try await base.abort(ref: ref) } catch {
          ghosts.interrupted.with { $0[ref] = ["offset": "\(old.offset - 1)", "total": "\(old.total)"] }
          throw error
        }
      }
      wrapper.onStatuses = { base, filters in
        let statuses = try await base.statuses(filters)
        return statuses.filter { ghosts.interrupted.now[$0.ref] == nil }
          + ghosts.interrupted.now.map { ref, numbers in
            IngestStatus(
              ref: ref, offset: numbers["offset"].flatMap { Int64($0) } ?? 0, total: numbers["total"].flatMap { Int64($0) } ?? 0, expected: nil,
              startedAt: .never,
              updatedAt: .never)
          }
      }
    },
    contents("CR46", "labels outlive a blob whose delete was killed, and are the next one's", kills: ["crash.content.delete"], symptom: "labels") {
      wrapper, ghosts, _ in
      wrapper.onDelete = { base, digest in
        let old = try await base.info(digest)
        do { try await base.delete(digest) } catch {
          ghosts.blobs.with { $0[digest] = old }
          throw error
        }
      }
      wrapper.onWalk = { base, filters, visit in
        try await base.walk(filters) { info in
          var info = info
          if info.labels.isEmpty { info.labels = ghosts.blobs.now[info.digest]?.labels ?? [:] }
          try await visit(info)
        }
      }
    },
    contents("CR47", "an update that was killed has changed half of the labels", kills: ["crash.content.update"], symptom: "labels") { wrapper, ghosts, _ in
      wrapper.onUpdate = { base, info, fields in
        let old = try await base.info(info.digest)
        do { return try await base.update(info, fields: fields) } catch {
          var half = old
          half.labels.merge(info.labels) { $1 }
          ghosts.blobs.with { $0[info.digest] = half }
          throw error
        }
      }
      wrapper.onWalk = { base, filters, visit in try await base.walk(filters) { try await visit(ghosts.blobs.now[$0.digest] ?? $0) } }
    },
    contents("CR48", "a ref whose opening was killed is locked for ever", kills: ["crash.content.open"], symptom: "locked") { wrapper, ghosts, _ in
      wrapper.onWriter = { base, ref, expected in
        if ghosts.refs.now.contains(ref) { throw ContainerdError.unavailable("ref \(ref) locked") }
        do { return try await base.writer(ref: ref, expected: expected) } catch {
          ghosts.refs.with { _ = $0.insert(ref) }
          throw error
        }
      }
    },
    contents(
      "CR49", "the lock of a ref outlives the process of its holder", kills: ["crash.content.free-ref"], symptom: "locked",
      threads: ["containerd/containerd#3394"]
    ) {
      wrapper, ghosts, process in
      let started = process.starts.now
      wrapper.onWriter = { base, ref, expected in
        let other = ghosts.interrupted.now[ref]?["start"].flatMap { Int($0) }
        if let other, other != started { throw ContainerdError.unavailable("ref \(ref) locked") }
        let writer = try await base.writer(ref: ref, expected: expected)
        ghosts.interrupted.with { $0[ref] = ["start": "\(started)"] }
        return ContentWriterWrapper(writer, ref: ref, expected: expected, in: base) {
          $0.onClose = { writer in
            // A process that is dead frees nothing.
            let ended: BackendEnd?
            do { ended = try await process.ended(within: 0) } catch { ended = nil }
            if process.starts.now == started, ended == nil { ghosts.interrupted.with { $0[ref] = nil } }
            await writer.base.close()
          }
        }
      }
    },
    contents("CR4A", "a restart forgets the labels of blobs", kills: ["restart.content.walk"], symptom: "all blobs") { wrapper, _, process in
      wrapper.onWalk = { base, filters, visit in
        try await base.walk(filters) { info in
          var info = info
          if process.starts.now > 1 { info.labels = [:] }
          try await visit(info)
        }
      }
    },
    contents("CR4B", "bytes that a full disk refused are counted", kills: ["crash.content.disk-full"], symptom: "were written to a disk without space") {
      wrapper, _, _ in
      wrapper.wrapWriters { $0.onWrite = { writer, bytes, offset in do { try await writer.base.write(bytes, at: offset) } catch is ContainerdError {} } }
    },
    contentProcess("CR4C", "a store is deaf to the order to end", kills: ["restart.content.shutdown"], symptom: "still runs", .init(onTerminate: { _ in nil })),
    contents("CR4D", "the blob that was deleted before a kill comes back", kills: ["crash.content.delete", "crash.content.random"], symptom: "after a kill") {
      wrapper, ghosts, process in
      wrapper.onDelete = { base, digest in
        let old = try await base.info(digest)
        try await base.delete(digest)
        ghosts.blobs.set([digest: old])
        ghosts.count.set(process.starts.now)
      }
      wrapper.onWalk = { base, filters, visit in
        try await base.walk(filters, visit)
        if process.starts.now > ghosts.count.now { for info in ghosts.blobs.now.values { try await visit(info) } }
      }
    },
  ]

  private static func ingests(_ process: any BackendProcess, _ damage: (_ path: String, _ size: Int) throws -> Void) throws {
    for name in try Files.names(in: process.root + "/ingest") {
      let path = "\(process.root)/ingest/\(name)/data"
      if Files.exists(path) { try damage(path, Int(try Files.status(path).st_size)) }
    }
  }
}
