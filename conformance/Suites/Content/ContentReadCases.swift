import Protocols

extension ContentStoreSuite {
  static let reads: [ContractCase<ContentSubject>] = [
    ContractCase("content.read.missing", "a blob that is not there is not found", "ContentProvider.reader; CON-02") { subject in
      let digest = subject.digest(bytes("nowhere"))
      try await expectError(.notFound, from: "info") { _ = try await subject.store.info(digest) }
      try await expectError(.notFound, from: "reader") { _ = try await subject.store.reader(digest) }
      try await expectError(.notFound, from: "delete") { try await subject.store.delete(digest) }
    },
    ContractCase("content.read.ranges", "any range can be read; what is beyond the end is not there", "ContentReader.read; CON-10, IM-12") { subject in
      let data = pattern(1, count: 100_000)
      let reader = try await subject.store.reader(try await subject.put(data))
      try expectEqual(reader.size, 100_000, "size")
      for (offset, count) in [
        (0, 1), (0, 100_000), (0, 200_000), (1, 10), (65_535, 2), (99_999, 1), (99_999, 50), (100_000, 1), (100_000, 0), (500_000, 10), (7, 0),
      ] {
        let expected = Array(data.dropFirst(offset).prefix(count))
        let read = try await reader.read(at: Int64(offset), count: count)
        try expect(read == expected, "read of \(count) bytes at \(offset): expected \(expected.count) bytes, got \(read.count) or others")
      }
      try await expectError(.outOfRange, from: "read at -1") { _ = try await reader.read(at: -1, count: 1) }
      await reader.close()
    },
    ContractCase("content.read.parallel", "a reader serves many at once", "ContentReader; ContentStore, concurrency; CON-29, REF-C09") { subject in
      let data = pattern(2, count: 300_000)
      let reader = try await subject.store.reader(try await subject.put(data))
      let results = try await concurrently(16) { number in
        let read = try await reader.read(at: Int64(number * 15_000), count: 20_000)
        return read == Array(data[number * 15_000..<number * 15_000 + 20_000])
      }
      for result in results { try expect(try result.get(), "a parallel read gave other bytes") }
      await reader.close()
    },
    ContractCase("content.delete.forgets", "a deleted blob is gone, and can be written again as a new one", "ContentStore.delete; CON-25") { subject in
      let data = bytes("here and gone")
      let digest = try await subject.put(data, labels: ["old": "1"])
      try await subject.store.delete(digest)
      try await expectError(.notFound, from: "info after delete") { _ = try await subject.store.info(digest) }
      try await expectError(.notFound, from: "a second delete") { try await subject.store.delete(digest) }
      try expectEqual(try await subject.walked(), [], "blobs listed")
      try await subject.put(data)
      try expectEqual(try await subject.store.info(digest).labels, [:], "labels of the new blob")
    },
    ContractCase(
      "content.delete.open-reader", "a reader that is open goes on reading", "ContentStore.delete; REF-C10", needs: [.openReaders]
    ) { subject in
      let data = pattern(3, count: 50_000)
      let digest = try await subject.put(data)
      let reader = try await subject.store.reader(digest)
      try expectEqual(try await reader.read(at: 0, count: 10), Array(data.prefix(10)), "bytes before the delete")
      try await subject.store.delete(digest)
      try expect(try await reader.read(at: 10, count: 50_000) == Array(data.dropFirst(10)), "after the delete the reader gave other bytes")
      await reader.close()
    },
  ]
}
