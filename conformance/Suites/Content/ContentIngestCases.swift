import Protocols

extension ContentStoreSuite {
  static let ingests: [ContractCase<ContentSubject>] = [
    ContractCase(
      "content.ingest.unseen-until-commit", "what is being written is no blob yet: nobody finds it", "ContentStore law 1; CON-01"
    ) { subject in
      let data = bytes("not yet")
      let writer = try await subject.open("r", size: Int64(data.count), digest: subject.digest(data))
      try await writer.write(data, at: nil)
      try await expectError(.notFound, from: "info of an uncommitted blob") { _ = try await subject.store.info(subject.digest(data)) }
      try await expectError(.notFound, from: "reader of an uncommitted blob") { _ = try await subject.store.reader(subject.digest(data)) }
      try expectEqual(try await subject.walked(), [], "blobs listed")
      await writer.close()
    },
    ContractCase(
      "content.ingest.status", "an ingest says its ref, its offset, and the size that was expected of it", "ContentStore.status; CON-23"
    ) { subject in
      let data = bytes("0123456789")
      let before = Timestamp.now().advanced(bySeconds: -2)
      let writer = try await subject.open("r", size: 10, digest: subject.digest(data))
      try await writer.write(Array(data.prefix(4)), at: 0)
      for (from, status) in [("the store", try await subject.store.status(ref: "r")), ("the writer", try await writer.status())] {
        try expectEqual(status.ref, "r", "ref, from \(from)")
        try expectEqual(status.offset, 4, "offset, from \(from)")
        try expectEqual(status.total, 10, "total, from \(from)")
        try expect(status.startedAt >= before && status.startedAt <= status.updatedAt, "started \(status.startedAt), updated \(status.updatedAt), from \(from)")
      }
      await writer.close()
      try await expectError(.notFound, from: "status of an unknown ref") { _ = try await subject.store.status(ref: "other") }
    },
    ContractCase(
      "content.ingest.status-expected", "an ingest says which digest was expected of it", "ContentStore.status; CON-23", level: .should,
      why: "whoever lists the ingests cannot tell which blob is on its way"
    ) { subject in
      let writer = try await subject.open("r", size: 10, digest: subject.digest(bytes("0123456789")))
      let status = try await subject.store.status(ref: "r")
      await writer.close()
      try expectEqual(status.expected, subject.digest(bytes("0123456789")), "expected digest")
    },
    ContractCase("content.ingest.empty-ref", "an empty ref is refused", "ContentIngester.writer; REF-C01") { subject in
      try await expectError(.invalidArgument, from: "writer with an empty ref") { _ = try await subject.open("") }
    },
    ContractCase(
      "content.ingest.resume", "a closed writer's bytes stay, and the next writer of the ref goes on after them", "ContentStore law 4; CON-04, CON-05"
    ) { subject in
      let data = bytes("first half, second half")
      let first = try await subject.open("r", size: Int64(data.count))
      try await first.write(Array(data.prefix(11)), at: 0)
      await first.close()
      try expectEqual(try await subject.store.status(ref: "r").offset, 11, "offset after close")
      let second = try await subject.open("r", size: Int64(data.count))
      try expectEqual(try await second.status().offset, 11, "offset of the second writer")
      try expectEqual(try await second.digest(), subject.digest(Array(data.prefix(11))), "digest of the bytes so far")
      try await second.write(Array(data.dropFirst(11)), at: 11)
      try expectEqual(try await second.commit(IngestExpectation(size: Int64(data.count)), labels: [:]), subject.digest(data), "digest of the whole")
      await second.close()
    },
    ContractCase(
      "content.ingest.one-writer", "a ref has one writer at a time, and is free again when that is closed", "ContentStore law 3; CON-09"
    ) { subject in
      let first = try await subject.open("r")
      try await expectError(.unavailable, from: "a second writer of an open ref") { _ = try await subject.open("r") }
      let other = try await subject.open("other")
      await other.close()
      await first.close()
      let second = try await subject.open("r")
      await second.close()
    },
    ContractCase("content.ingest.close-twice", "closing twice, or after the commit, is harmless", "ContentWriter.close; CON-05") { subject in
      let first = try await subject.open("r")
      try await first.write(bytes("x"), at: nil)
      await first.close()
      let second = try await subject.open("r")
      await first.close()
      try await expectError(.unavailable, from: "a ref whose earlier writer was closed twice") { _ = try await subject.open("r") }
      _ = try await second.commit(IngestExpectation(), labels: [:])
      await second.close()
      await second.close()
      try expectEqual(try await subject.store.info(subject.digest(bytes("x"))).size, 1, "size of the blob")
    },
    ContractCase("content.ingest.closed-writer", "a closed writer does nothing any more", "ContentWriter.close; CON-05, REF-C07") { subject in
      let writer = try await subject.open("r")
      try await writer.write(bytes("x"), at: nil)
      await writer.close()
      try await expectError(.failedPrecondition, from: "write to a closed writer") { try await writer.write(bytes("y"), at: nil) }
      try await expectError(.failedPrecondition, from: "commit of a closed writer") { _ = try await writer.commit(IngestExpectation(), labels: [:]) }
      try await expectError(.failedPrecondition, from: "status of a closed writer") { _ = try await writer.status() }
      try expectEqual(try await subject.store.status(ref: "r").offset, 1, "offset of the ingest")
    },
    ContractCase(
      "content.ingest.other-size", "an ingest that was to have another size starts anew", "ContentIngester.writer; REF-C02"
    ) { subject in
      let first = try await subject.open("r", size: 100)
      try await first.write(bytes("stale"), at: nil)
      await first.close()
      let second = try await subject.open("r", size: 200)
      try expectEqual(try await second.status().offset, 0, "offset after opening with another size")
      try expectEqual(try await second.status().total, 200, "total")
      await second.close()
    },
    ContractCase(
      "content.ingest.other-size-shorter", "of an ingest that was to have another size nothing is left when it starts anew",
      "ContentIngester.writer; CON-04, CON-07", level: .should,
      why: "a ref whose descriptor was corrected cannot be committed any more, until somebody aborts it by hand"
    ) { subject in
      let first = try await subject.open("r", size: 100)
      try await first.write(bytes("stale, and longer"), at: nil)
      await first.close()
      let data = bytes("right")
      let second = try await subject.open("r", size: Int64(data.count))
      try expectEqual(try await subject.store.status(ref: "r").offset, 0, "offset of the ingest after opening with another size")
      try await second.write(data, at: nil)
      let digest = try await second.commit(IngestExpectation(size: Int64(data.count), digest: subject.digest(data)), labels: [:])
      await second.close()
      try expectEqual(try await subject.store.info(digest).size, Int64(data.count), "size of the blob")
    },
    ContractCase(
      "content.ingest.existing-blob", "a writer for a blob that is there is refused, and holds nothing", "ContentIngester.writer; CON-09"
    ) { subject in
      let digest = try await subject.put(bytes("there"))
      try await expectError(.alreadyExists, from: "writer for an existing blob") { _ = try await subject.open("r", digest: digest) }
      try await expectError(.notFound, from: "status of the refused ingest") { _ = try await subject.store.status(ref: "r") }
      let writer = try await subject.open("r")
      await writer.close()
    },
    ContractCase("content.ingest.odd-refs", "refs are opaque text, whatever they look like", "ContentIngester.writer; CON-21") { subject in
      var writers: [any ContentWriter] = []
      for (number, ref) in oddNames.enumerated() {
        let writer = try await subject.open(ref)
        try await writer.write(pattern(number, count: number + 1), at: 0)
        writers.append(writer)
      }
      for (number, ref) in oddNames.enumerated() {
        try expectEqual(try await subject.store.status(ref: ref).offset, Int64(number + 1), "offset of ref \"\(ref)\"")
      }
      try expectEqual(Set(try await subject.store.statuses(.all).map(\.ref)), Set(oddNames), "refs listed")
      for (number, writer) in writers.enumerated() {
        let digest = try await writer.commit(IngestExpectation(), labels: [:])
        try expectEqual(digest, subject.digest(pattern(number, count: number + 1)), "digest of ref \"\(oddNames[number])\"")
        await writer.close()
      }
    },
    ContractCase(
      "content.write.offset", "a write elsewhere than at the end is refused and writes nothing", "ContentWriter.write; CON-09"
    ) { subject in
      let writer = try await subject.open("r")
      try await writer.write(bytes("abc"), at: 0)
      for offset in [Int64(2), 4, 1000] {
        try await expectError(.outOfRange, from: "write at \(offset) of 3") { try await writer.write(bytes("!"), at: offset) }
      }
      try await writer.write(bytes("d"), at: 3)
      try await writer.write(bytes("e"), at: nil)
      try await writer.write([], at: nil)
      try expectEqual(try await writer.commit(IngestExpectation(), labels: [:]), subject.digest(bytes("abcde")), "digest")
      await writer.close()
    },
    ContractCase("content.write.large", "one write may carry many megabytes", "ContentWriter.write; REF-C13") { subject in
      let data = [UInt8](repeating: 0x5a, count: (5 << 20) + 3)
      let writer = try await subject.open("r", size: Int64(data.count))
      try await writer.write(data, at: 0)
      try expectEqual(try await writer.status().offset, Int64(data.count), "offset")
      try expectEqual(try await writer.commit(IngestExpectation(), labels: [:]), subject.digest(data), "digest")
      await writer.close()
    },
    ContractCase("content.truncate.start-over", "cut to nothing, an ingest begins anew", "ContentWriter.truncate; CON-09") { subject in
      let writer = try await subject.open("r")
      try await writer.write(bytes("wrong"), at: 0)
      try await writer.truncate(to: 0)
      try expectEqual(try await writer.status().offset, 0, "offset after truncation")
      try expectEqual(try await writer.digest(), subject.digest([]), "digest of nothing")
      try await writer.write(bytes("right"), at: 0)
      try expectEqual(try await writer.commit(IngestExpectation(), labels: [:]), subject.digest(bytes("right")), "digest")
      await writer.close()
    },
    ContractCase(
      "content.truncate.anywhere", "an ingest can be cut to any length it has, and to no other", "ContentWriter.truncate; CON-26, REF-C08", needs: [.truncation]
    ) { subject in
      let writer = try await subject.open("r")
      try await writer.write(bytes("abcdef"), at: 0)
      for offset in [Int64(-1), 7] {
        try await expectError(.outOfRange, from: "truncate to \(offset) of 6") { try await writer.truncate(to: offset) }
      }
      try await writer.truncate(to: 6)
      try await writer.truncate(to: 2)
      try expectEqual(try await writer.digest(), subject.digest(bytes("ab")), "digest of what is left")
      try await writer.write(bytes("xyz"), at: 2)
      try expectEqual(try await writer.commit(IngestExpectation(), labels: [:]), subject.digest(bytes("abxyz")), "digest")
      await writer.close()
    },
  ]
}
