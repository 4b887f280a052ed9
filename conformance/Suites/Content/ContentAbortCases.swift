import Protocols

extension ContentStoreSuite {
  static let aborts: [ContractCase<ContentSubject>] = [
    ContractCase("content.abort.forgets", "an aborted ingest is gone, and its ref begins anew", "ContentStore.abort; CON-08") { subject in
      let writer = try await subject.open("r", size: 9)
      try await writer.write(bytes("x"), at: nil)
      await writer.close()
      try await subject.store.abort(ref: "r")
      try await expectError(.notFound, from: "status after the abort") { _ = try await subject.store.status(ref: "r") }
      try await expectError(.notFound, from: "a second abort") { try await subject.store.abort(ref: "r") }
      let again = try await subject.open("r")
      try expectEqual(try await again.status().offset, 0, "offset of the ref after an abort")
      await again.close()
    },
    ContractCase("content.abort.unknown", "aborting an unknown ref is an error", "ContentStore.abort; REF-C03") { subject in
      try await expectError(.notFound, from: "abort of an unknown ref") { try await subject.store.abort(ref: "never") }
    },
    ContractCase(
      "content.abort.open-writer", "an abort wins over the open writer", "ContentStore.abort; CON-08", level: .should,
      why: "what was given up is committed after all, or its ref stays locked until the writer's process ends"
    ) { subject in
      let writer = try await subject.open("r")
      try await writer.write(bytes("x"), at: nil)
      try await subject.store.abort(ref: "r")
      try await expectError(.notFound, from: "write after the abort") { try await writer.write(bytes("y"), at: nil) }
      await writer.close()
      let committing = try await subject.open("s")
      try await committing.write(bytes("x"), at: nil)
      try await subject.store.abort(ref: "s")
      try await expectError(.notFound, from: "commit after the abort") { _ = try await committing.commit(IngestExpectation(), labels: [:]) }
      await committing.close()
      let asking = try await subject.open("t")
      try await asking.write(bytes("x"), at: nil)
      try await subject.store.abort(ref: "t")
      try await expectError(.notFound, from: "the writer's status after the abort") { _ = try await asking.status() }
      await asking.close()
      try expectEqual(try await subject.store.statuses(.all).count, 0, "ingests left")
      try expectEqual(try await subject.walked(), [], "blobs listed")
    },
    ContractCase(
      "content.abort.old-writer", "the writer of an aborted ingest cannot disturb the next ingest of the same ref",
      "ContentStore law 3, ContentStore.abort; CON-21, REF-C04",
      level: .should, why: "a ref cannot be used again before the writer that was given up goes away"
    ) { subject in
      let old = try await subject.open("r")
      try await old.write(bytes("old"), at: nil)
      try await subject.store.abort(ref: "r")
      let new = try await subject.open("r")
      try await new.write(bytes("new"), at: 0)
      try await expectError(.notFound, from: "commit by the aborted writer") { _ = try await old.commit(IngestExpectation(), labels: [:]) }
      await old.close()
      try await expectError(.unavailable, from: "a third writer while the second holds the ref") { _ = try await subject.open("r") }
      try expectEqual(try await subject.store.status(ref: "r").offset, 3, "offset of the new ingest")
      try expectEqual(try await new.commit(IngestExpectation(), labels: [:]), subject.digest(bytes("new")), "digest")
      await new.close()
      try expectEqual(try await subject.walked(), [subject.digest(bytes("new"))], "blobs listed")
    },
  ]
}
