import Protocols

extension ContentStoreSuite {
  static let commits: [ContractCase<ContentSubject>] = [
    ContractCase("content.commit.makes-a-blob", "a commit makes a blob and ends its ingest", "ContentWriter.commit; ContentStore law 1; CON-01, CON-20") {
      subject in
      let data = bytes("hello, blob")
      let before = Timestamp.now().advanced(bySeconds: -2)
      let writer = try await subject.open("r", size: Int64(data.count))
      try await writer.write(data, at: 0)
      let digest = try await writer.commit(IngestExpectation(size: Int64(data.count), digest: subject.digest(data)), labels: ["k": "v", "empty": "e"])
      await writer.close()
      try expectEqual(digest, subject.digest(data), "digest of the commit")
      let info = try await subject.store.info(digest)
      try expectEqual(info.digest, digest, "digest of the info")
      try expectEqual(info.size, Int64(data.count), "size")
      try expectEqual(info.labels, ["k": "v", "empty": "e"], "labels given to the commit")
      try expect(
        info.createdAt >= before && info.createdAt <= Timestamp.now().advanced(bySeconds: 2) && info.updatedAt >= info.createdAt,
        "created \(info.createdAt), updated \(info.updatedAt): not the time of the commit")
      try await expectError(.notFound, from: "status of a committed ingest") { _ = try await subject.store.status(ref: "r") }
      try expectEqual(try await subject.store.statuses(.all).count, 0, "ingests left")
      try expectEqual(try await subject.walked(), [digest], "blobs listed")
    },
    ContractCase("content.commit.nothing-expected", "size and digest may be unknown", "ContentWriter.commit; CON-07") { subject in
      let writer = try await subject.open("r")
      try await writer.write(bytes("anything"), at: nil)
      try expectEqual(try await writer.commit(IngestExpectation(), labels: [:]), subject.digest(bytes("anything")), "digest")
      await writer.close()
    },
    ContractCase("content.commit.empty-blob", "a blob may be empty", "ContentWriter.commit; REF-C13") { subject in
      let writer = try await subject.open("r")
      let digest = try await writer.commit(IngestExpectation(digest: subject.digest([])), labels: [:])
      await writer.close()
      try expectEqual(digest, subject.digest([]), "digest of nothing")
      try expectEqual(try await subject.store.info(digest).size, 0, "size")
      let reader = try await subject.store.reader(digest)
      try expectEqual(try await reader.read(at: 0, count: 10), [], "bytes")
      await reader.close()
    },
    mismatch("size", "a wrong size") { _, _ in IngestExpectation(size: 4) },
    mismatch("digest", "a wrong digest") { subject, _ in IngestExpectation(digest: subject.digest(bytes("other"))) },
    mismatch("both", "a right size with a wrong digest") { subject, data in
      IngestExpectation(size: Int64(data.count), digest: subject.digest(bytes("other")))
    },
    ContractCase(
      "content.commit.opening-expected", "what the commit leaves open the opening's expectation decides", "ContentWriter.commit; CON-07"
    ) { subject in
      let data = bytes("longer than expected")
      let sized = try await subject.open("sized", size: 3)
      try await sized.write(data, at: nil)
      try await expectError(.failedPrecondition, from: "commit of 20 bytes where 3 were expected") {
        _ = try await sized.commit(IngestExpectation(digest: subject.digest(data)), labels: [:])
      }
      await sized.close()
      let named = try await subject.open("named", digest: subject.digest(bytes("other")))
      try await named.write(data, at: nil)
      try await expectError(.failedPrecondition, from: "commit of another digest than the opening's") {
        _ = try await named.commit(IngestExpectation(size: Int64(data.count)), labels: [:])
      }
      await named.close()
      try expectEqual(try await subject.walked(), [], "blobs listed")
    },
    ContractCase(
      "content.commit.last-word", "a caller may learn better while it uploads: the commit's expectation replaces the opening's", "ContentWriter.commit; CON-28"
    ) { subject in
      let data = bytes("longer than expected")
      let writer = try await subject.open("r", size: 3, digest: subject.digest(bytes("other")))
      try await writer.write(data, at: nil)
      let digest = try await writer.commit(IngestExpectation(size: Int64(data.count), digest: subject.digest(data)), labels: [:])
      await writer.close()
      try expectEqual(digest, subject.digest(data), "digest")
    },
    ContractCase("content.commit.twice", "a writer commits once", "ContentWriter.commit; CON-07") { subject in
      let writer = try await subject.open("r")
      try await writer.write(bytes("x"), at: nil)
      _ = try await writer.commit(IngestExpectation(), labels: [:])
      try await expectError(.failedPrecondition, from: "a second commit") { _ = try await writer.commit(IngestExpectation(), labels: [:]) }
      try await expectError(.failedPrecondition, from: "a write after the commit") { try await writer.write(bytes("y"), at: nil) }
      await writer.close()
      let again = try await subject.open("r")
      try expectEqual(try await again.status().offset, 0, "offset of the ref after its commit")
      await again.close()
    },
    ContractCase(
      "content.commit.existing-blob", "bytes that are there already are dropped, and the blob is left as it was", "ContentStore law 2; CON-07"
    ) { subject in
      let data = bytes("twice")
      let digest = try await subject.put(data, labels: ["mine": "1"])
      let before = try await subject.store.info(digest)
      let writer = try await subject.open("again")
      try await writer.write(data, at: nil)
      try await expectError(.alreadyExists, from: "commit of a blob that exists") {
        _ = try await writer.commit(IngestExpectation(size: Int64(data.count)), labels: ["mine": "2", "yours": "1"])
      }
      await writer.close()
      try expectEqual(try await subject.store.info(digest), before, "the blob's info")
      try await expectError(.notFound, from: "status of the dropped ingest") { _ = try await subject.store.status(ref: "again") }
    },
    ContractCase("content.commit.label-limit", "a label of 4096 bytes is taken, a longer one ends the commit", "Labels; SNAP-18") { subject in
      let fits = String(repeating: "v", count: 4095)
      let digest = try await subject.put(bytes("fits"), labels: ["k": fits])
      try expectEqual(try await subject.store.info(digest).labels, ["k": fits], "labels")
      for labels in [["k": fits + "v"], ["": "empty key"]] {
        let writer = try await subject.open("r")
        try await writer.truncate(to: 0)
        try await writer.write(bytes("does not fit"), at: nil)
        // What kind of error an empty key is, containerd leaves open.
        let codes: [ContainerdError.Code] = labels[""] == nil ? [.invalidArgument] : [.invalidArgument, .unknown]
        do {
          _ = try await writer.commit(IngestExpectation(), labels: labels)
          throw Mismatch(description: "commit with a bad label: expected the class \"invalid argument\", but it succeeded")
        } catch let error as ContainerdError {
          try expect(codes.contains(error.code), "commit with a bad label: expected the class \"invalid argument\", got \(error)")
        }
        await writer.close()
      }
      try expectEqual(try await subject.walked(), [digest], "blobs listed")
    },
    ContractCase("content.commit.sha512", "a blob is named with the algorithm that was expected", "ContentWriter.commit; IM-02", needs: [.sha512]) { subject in
      let data = bytes("a longer name")
      let digest = subject.digest(data, .sha512)
      let atOpening = try await subject.open("a", digest: digest)
      try await atOpening.write(data, at: nil)
      try expectEqual(try await atOpening.commit(IngestExpectation(), labels: [:]), digest, "digest of the commit, expected at the opening")
      await atOpening.close()
      try expectEqual(try await subject.store.info(digest).size, Int64(data.count), "size")
      try await subject.store.delete(digest)
      let atCommit = try await subject.open("b")
      try await atCommit.write(data, at: nil)
      try expectEqual(try await atCommit.commit(IngestExpectation(digest: digest), labels: [:]), digest, "digest of the commit, expected at the commit")
      await atCommit.close()
      let reader = try await subject.store.reader(digest)
      try expectEqual(try await reader.read(at: 0, count: 100), data, "bytes")
      await reader.close()
      try await subject.store.delete(digest)
      let wrong = try await subject.open("c")
      try await wrong.write(bytes("other"), at: nil)
      try await expectError(.failedPrecondition, from: "commit of bytes with another sha512") {
        _ = try await wrong.commit(IngestExpectation(digest: digest), labels: [:])
      }
      await wrong.close()
    },
  ]

  /// A commit that expects what the bytes are not: no blob, the writer closed, the bytes kept.
  private static func mismatch(
    _ name: String, _ what: String, _ expectation: @escaping @Sendable (ContentSubject, [UInt8]) -> IngestExpectation
  ) -> ContractCase<ContentSubject> {
    ContractCase(
      "content.commit.wrong-\(name)", "a commit with \(what) makes no blob, closes the writer and keeps the bytes", "ContentWriter.commit; CON-07"
    ) { subject in
      let data = bytes("what it is")
      let writer = try await subject.open("r")
      try await writer.write(data, at: nil)
      try await expectError(.failedPrecondition, from: "commit with \(what)") { _ = try await writer.commit(expectation(subject, data), labels: [:]) }
      try await expectError(.failedPrecondition, from: "write after the failed commit") { try await writer.write(bytes("more"), at: nil) }
      await writer.close()
      try expectEqual(try await subject.walked(), [], "blobs listed")
      let second = try await subject.open("r")
      try expectEqual(try await second.status().offset, Int64(data.count), "offset kept for a resume")
      try expectEqual(try await second.commit(IngestExpectation(), labels: [:]), subject.digest(data), "digest")
      await second.close()
    }
  }
}
