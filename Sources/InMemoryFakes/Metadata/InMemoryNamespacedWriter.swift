import Protocols

/// An upload of one namespace: the backend's writer, and the row at the end.
struct InMemoryNamespacedWriter: ContentWriter {
  let owner: InMemoryNamespacedContent
  let ref: String
  let backendRef: String
  let expected: IngestExpectation
  let backend: any ContentWriter

  func status() async throws -> IngestStatus {
    var status = try await backend.status()
    status.ref = ref
    status.expected = expected.digest
    return status
  }

  func write(_ bytes: [UInt8], at offset: Int64?) async throws { try await backend.write(bytes, at: offset) }
  func truncate(to offset: Int64) async throws { try await backend.truncate(to: offset) }
  func digest() async throws -> Digest { try await backend.digest() }
  func close() async { await backend.close() }

  func commit(_ wanted: IngestExpectation, labels: Labels) async throws -> Digest {
    let store = owner.store
    let scope = owner.scope
    let after = try await store.instrument.enter("content.commit", ref, wanted.digest?.description ?? "")
    try labels.validateLabels()
    let digest = try await store.turn.pass {
      let size = try await backend.status().offset
      let digest = try await commitBytes(wanted.or(expected))
      let isNew = try store.write(scope.namespace) { objects -> Bool in
        // Whoever aborts takes the ingest away: of an abort and a commit at the same time one succeeds.
        guard objects.ingests[ref]?.backendRef == backendRef else { throw ContainerdError.notFound("ingest ref \(ref) (aborted)") }
        objects.ingests[ref] = nil
        objects.release("ingests", ref)
        try objects.hold("content", digest.description, for: scope)
        if objects.content[digest] != nil { return false }
        let time = store.now()
        objects.content[digest] = ContentInfo(digest: digest, size: size, createdAt: time, updatedAt: time, labels: labels)
        return true
      }
      // Thrown outside the change: the lease keeps what it now also holds.
      if !isNew { throw ContainerdError.alreadyExists("content \(digest)") }
      store.publish(.contentCreate(digest: digest, size: size, mediaType: ""), in: scope.namespace)
      return digest
    }
    try after.finish()
    return digest
  }

  /// Bytes that the backend has already are shared; labels live here, not there.
  private func commitBytes(_ wanted: IngestExpectation) async throws -> Digest {
    let digest: Digest
    if let known = wanted.digest { digest = known } else { digest = try await backend.digest() }
    do { return try await backend.commit(wanted, labels: [:]) } catch let error as ContainerdError where error.code == .alreadyExists { return digest }
  }
}
