import Protocols

/// One namespace's blobs and ingests, over the shared bytes.
struct InMemoryNamespacedContent: ContentStore {
  let store: InMemoryMetadataStore
  let scope: Scope

  func info(_ digest: Digest) async throws -> ContentInfo {
    try await store.instrument.enter("content.info", digest.description)
    return try store.read(scope.namespace) { try Self.content($0, digest) }
  }

  func update(_ info: ContentInfo, fields: FieldMask) async throws -> ContentInfo {
    let after = try await store.instrument.enter("content.update", info.digest.description, fields.paths.joined(separator: " "))
    try fields.validate(object: "content \(info.digest)")
    let updated = try store.write(scope.namespace) { objects in
      var stored = try Self.content(objects, info.digest)
      stored.labels = fields.updatedLabels(of: stored.labels, from: info.labels)
      try stored.labels.validateLabels()
      stored.updatedAt = store.now()
      objects.content[info.digest] = stored
      return stored
    }
    try after.finish()
    return updated
  }

  func walk(_ filters: FilterSet, _ visit: @Sendable (ContentInfo) async throws -> Void) async throws {
    try await store.instrument.enter("content.walk")
    for info in try store.read(scope.namespace, { $0.content.values.filter(filters.matches) }) { try await visit(info) }
  }

  /// Only the name goes; the bytes follow with the next collection, if no other namespace has them.
  func delete(_ digest: Digest) async throws {
    let after = try await store.instrument.enter("content.delete", digest.description)
    try store.write(scope.namespace) { objects in
      _ = try Self.content(objects, digest)
      objects.content[digest] = nil
      objects.release("content", digest.description)
    }
    store.publish(.contentDelete(digest: digest), in: scope.namespace)
    try after.finish()
  }

  func reader(_ digest: Digest) async throws -> any ContentReader {
    try await store.instrument.enter("content.reader", digest.description)
    _ = try store.read(scope.namespace) { try Self.content($0, digest) }
    return try await store.backendContent.reader(digest)
  }

  private static func content(_ objects: NamespaceObjects, _ digest: Digest) throws -> ContentInfo {
    guard let info = objects.content[digest] else { throw ContainerdError.notFound("content \(digest)") }
    return info
  }
}

extension InMemoryNamespacedContent {
  func status(ref: String) async throws -> IngestStatus {
    try await store.instrument.enter("content.status", ref)
    guard let ingest = try store.read(scope.namespace, { $0.ingests[ref] }) else { throw ContainerdError.notFound("ingest ref \(ref)") }
    var status = try await store.backendContent.status(ref: ingest.backendRef)
    status.ref = ref
    status.expected = ingest.expected
    return status
  }

  func statuses(_ filters: FilterSet) async throws -> [IngestStatus] {
    try await store.instrument.enter("content.statuses")
    var statuses: [IngestStatus] = []
    for (ref, ingest) in try store.read(scope.namespace, { $0.ingests }) {
      do {
        var status = try await store.backendContent.status(ref: ingest.backendRef)
        status.ref = ref
        status.expected = ingest.expected
        if filters.matches(status) { statuses.append(status) }
      } catch let error as ContainerdError where error.code == .notFound {
        // Committed or aborted since the list was made.
        continue
      }
    }
    return statuses
  }

  func abort(ref: String) async throws {
    let after = try await store.instrument.enter("content.abort", ref)
    // In its turn: not between an opening's row and its writer, nor in the middle of a commit.
    try await store.turn.pass {
      let backendRef = try store.write(scope.namespace) { objects in
        guard let ingest = objects.ingests.removeValue(forKey: ref) else { throw ContainerdError.notFound("ingest ref \(ref)") }
        objects.release("ingests", ref)
        return ingest.backendRef
      }
      try await store.backendContent.abort(ref: backendRef)
    }
    try after.finish()
  }

  func writer(ref: String, expected: IngestExpectation) async throws -> any ContentWriter {
    let after = try await store.instrument.enter("content.writer", ref, expected.digest?.description ?? "")
    if ref.isEmpty { throw ContainerdError.invalidArgument("ref must not be empty") }
    let fresh = "\(scope.namespace)/\(store.nextNumber())/\(ref)"
    let writer = try await store.turn.pass { () async throws -> any ContentWriter in
      let backendRef = try store.write(scope.namespace) { objects -> String? in
        if let digest = expected.digest, objects.content[digest] != nil {
          // In use by this lease all the same.
          try objects.hold("content", digest.description, for: scope)
          return nil
        }
        let ingest = objects.ingests[ref] ?? NamespaceObjects.Ingest(backendRef: fresh)
        objects.ingests[ref] = ingest
        try objects.hold("ingests", ref, for: scope)
        return ingest.backendRef
      }
      guard let backendRef else { throw ContainerdError.alreadyExists("content \(expected.digest?.description ?? "")") }
      // The backend is not told the digest: that it has the bytes is no reason not to upload them into this namespace.
      let backend = try await store.backendContent.writer(ref: backendRef, expected: IngestExpectation(size: expected.size))
      if let digest = expected.digest {
        // Whoever is refused changes nothing.
        try store.write(scope.namespace) { objects in if objects.ingests[ref]?.backendRef == backendRef { objects.ingests[ref]?.expected = digest } }
      }
      return InMemoryNamespacedWriter(owner: self, ref: ref, backendRef: backendRef, expected: expected, backend: backend)
    }
    try after.finish()
    return writer
  }
}
