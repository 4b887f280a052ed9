import ConformanceKit
import ConformanceSuites
import Protocols

/// Faults of content stores that only a sequence of calls shows.
enum ContentSequenceMutants {
  static let all: [Mutant] = [
    mutant("MD21", "an ingest opened after an abort begins at the offset of the aborted one", symptom: "offset") { wrapper in
      let aborted = Memory<[String: Int64]>([:])
      wrapper.onAbort = { base, ref in
        let offset = try await base.status(ref: ref).offset
        try await base.abort(ref: ref)
        aborted.with { $0[ref] = offset }
      }
      wrapper.wrapWriters { writer in
        let old = aborted.with { $0.removeValue(forKey: writer.ref) } ?? 0
        writer.onStatus = { writer in
          var status = try await writer.base.status()
          status.offset += old
          return status
        }
      }
    },
    mutant("MD22", "labels of a deleted blob are there again when the blob is", symptom: "labels") { wrapper in
      let deleted = Memory<[Digest: Labels]>([:])
      wrapper.onDelete = { base, digest in
        let labels = try await base.info(digest).labels
        try await base.delete(digest)
        deleted.with { $0[digest] = labels }
      }
      wrapper.wrapWriters { writer in
        writer.onCommit = { writer, expected, labels in
          let digest = try await writer.base.commit(expected, labels: labels)
          if let old = deleted.with({ $0.removeValue(forKey: digest) }), !old.isEmpty, labels.isEmpty {
            _ = try await writer.store.update(ContentInfo(digest: digest, labels: old), fields: ["labels"])
          }
          return digest
        }
      }
    },
    mutant("MD23", "a refused commit keeps the ref held once the writer has resumed an ingest", symptom: "unavailable") { wrapper in
      let opened = Memory<[String: Int]>([:])
      let stuck = Memory<Set<String>>([])
      wrapper.onWriter = { base, ref, expected in
        if stuck.value.contains(ref) { throw ContainerdError.unavailable("ref \(ref) locked") }
        let writer = try await base.writer(ref: ref, expected: expected)
        let count = opened.with { opened in
          opened[ref, default: 0] += 1
          return opened[ref, default: 0]
        }
        return ContentWriterWrapper(writer, ref: ref, expected: expected, in: base) { wrapper in
          wrapper.onCommit = { writer, expected, labels in
            do { return try await writer.base.commit(expected, labels: labels) } catch {
              if count > 1 { stuck.with { _ = $0.insert(writer.ref) } }
              throw error
            }
          }
        }
      }
    },
    mutant("MD24", "after starting over twice, the first bytes are written twice", symptom: "expected") { wrapper in
      wrapper.wrapWriters { writer in
        let times = Memory(0)
        writer.onTruncate = { writer, offset in
          times.with { $0 += 1 }
          try await writer.base.truncate(to: offset)
        }
        writer.onWrite = { writer, bytes, offset in
          try await writer.base.write(bytes, at: offset)
          if times.value >= 2 {
            try await writer.base.write(bytes, at: nil)
            times.with { $0 = 0 }
          }
        }
      }
    },
    mutant("MD25", "a blob deleted and written anew is empty when read", symptom: "the bytes") { wrapper in
      let deleted = Memory<Set<Digest>>([])
      wrapper.onDelete = { base, digest in
        try await base.delete(digest)
        deleted.with { _ = $0.insert(digest) }
      }
      wrapper.wrapReaders { reader in
        reader.onRead = { reader, offset, count in deleted.value.contains(reader.digest) ? [] : try await reader.base.read(at: offset, count: count) }
      }
    },
  ]

  static func mutant(_ id: String, _ sentence: String, symptom: String, _ change: @escaping @Sendable (inout ContentStoreWrapper) -> Void) -> Mutant {
    Mutant(id, sentence, in: .content, kills: ["content.model.random"], symptom: symptom, scope: ["content.model"]) {
      $0.wrap(ContentSubject.self) { $0.store = ContentStoreWrapper($0.store, change) }
    }
  }
}

/// Faults of content stores that only clients at the same time show.
enum ContentRaceMutants {
  static let all: [Mutant] = [
    mutant("MD26", "two that open one ref at the same time both get a writer") { wrapper in
      let opening = Memory<[String: Int]>([:])
      wrapper.onWriter = { base, ref, expected in
        opening.with { $0[ref, default: 0] += 1 }
        for _ in 0..<20 { await Task.yield() }
        defer { opening.with { $0[ref, default: 1] -= 1 } }
        do { return try await base.writer(ref: ref, expected: expected) } catch let error as ContainerdError {
          guard error.code == .unavailable, opening.value[ref, default: 0] > 1 else { throw error }
          try await base.abort(ref: ref)
          return try await base.writer(ref: ref, expected: expected)
        }
      }
    },
    mutant("MD27", "a deletion at the same time as another is told to have succeeded twice") { wrapper in
      let deleting = Memory<[Digest: Int]>([:])
      wrapper.onDelete = { base, digest in
        deleting.with { $0[digest, default: 0] += 1 }
        for _ in 0..<20 { await Task.yield() }
        let alone = deleting.value[digest, default: 0] < 2
        defer { deleting.with { $0[digest, default: 1] -= 1 } }
        do { try await base.delete(digest) } catch { if alone { throw error } }
      }
    },
  ]

  static func mutant(_ id: String, _ sentence: String, _ change: @escaping @Sendable (inout ContentStoreWrapper) -> Void) -> Mutant {
    Mutant(
      id, sentence, in: .concurrency, kills: ["content.model.linearizable"], symptom: "answers that some order", scope: ["content.model"]
    ) {
      $0.wrap(ContentSubject.self) { $0.store = ContentStoreWrapper($0.store, change) }
    }
  }
}
