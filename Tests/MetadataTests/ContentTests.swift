import Metadata
import Protocols
import Synchronization
import TestSupport
import Testing

struct ContentTests {
  @Test func uploadCommitRead() async throws {
    let fixture = try Fixture()
    let store = try fixture.store.content(in: fixture.scope())
    let bytes = Array("hello".utf8)
    let digest = testDigest(bytes)
    let writer = try await store.writer(ref: "a ref/with:anything", expected: IngestExpectation(size: 5, digest: digest))
    try await writer.write(Array(bytes.prefix(2)), at: 0)
    let status = try await store.status(ref: "a ref/with:anything")
    #expect(status.offset == 2 && status.expected == digest && status.ref == "a ref/with:anything")
    #expect(try await store.statuses(FilterSet(parsing: ["ref==\"a ref/with:anything\""])).count == 1)
    #expect(fixture.content.refs == ["default/1/a ref/with:anything"])
    await expectError(.outOfRange) { try await writer.write([1], at: 7) }
    try await writer.write(Array(bytes.dropFirst(2)), at: 2)
    #expect(try await writer.digest() == digest)
    await expectError(.notFound, "content \(digest)") { _ = try await store.info(digest) }
    #expect(try await writer.commit(IngestExpectation(size: 5, digest: digest), labels: ["k": "v"]) == digest)
    await writer.close()
    let info = try await store.info(digest)
    #expect(info.size == 5 && info.labels == ["k": "v"] && info.createdAt == fixture.clock.now())
    #expect(try await store.reader(digest).read(at: 1, count: 3) == Array("ell".utf8))
    #expect(try await store.statuses(.all).isEmpty)
    await expectError(.notFound) { _ = try await store.status(ref: "a ref/with:anything") }
    #expect(fixture.events.events == [.contentCreate(digest: digest, size: 5, mediaType: "")])
  }

  @Test func oneWriterAtATimeAndResume() async throws {
    let fixture = try Fixture()
    let store = try fixture.store.content(in: fixture.scope())
    let first = try await store.writer(ref: "r", expected: IngestExpectation())
    try await first.write([1, 2, 3], at: nil)
    await expectError(.unavailable) { _ = try await store.writer(ref: "r", expected: IngestExpectation()) }
    await first.close()
    await first.close()
    let second = try await store.writer(ref: "r", expected: IngestExpectation())
    #expect(try await second.status().offset == 3)
    try await second.truncate(to: 1)
    #expect(try await second.digest() == testDigest([1]))
    await expectError(.failedPrecondition) { _ = try await second.commit(IngestExpectation(size: 9), labels: [:]) }
    await expectError(.failedPrecondition) { try await second.write([1], at: nil) }
    // The mismatch closed the writer and kept the ingest.
    let third = try await store.writer(ref: "r", expected: IngestExpectation())
    #expect(try await third.status().offset == 1)
    _ = try await third.commit(IngestExpectation(digest: testDigest([1])), labels: [:])
    await expectError(.invalidArgument) { _ = try await store.writer(ref: "", expected: IngestExpectation()) }
  }

  @Test func theCommitsExpectationIsTheLastWordAndTheOpeningsCountsWhereItHasNone() async throws {
    let fixture = try Fixture()
    let store = try fixture.store.content(in: fixture.scope())
    let opened = IngestExpectation(size: 2, digest: testDigest([1, 2]))
    for commit in [IngestExpectation(size: 3), IngestExpectation(digest: testDigest([1, 2, 3])), IngestExpectation()] {
      let writer = try await store.writer(ref: "r", expected: opened)
      try await writer.truncate(to: 0)
      try await writer.write([1, 2, 3], at: nil)
      await expectError(.failedPrecondition) { _ = try await writer.commit(commit, labels: [:]) }
    }
    #expect(fixture.content.digests.isEmpty)
    let writer = try await store.writer(ref: "r", expected: opened)
    #expect(try await writer.commit(IngestExpectation(size: 3, digest: testDigest([1, 2, 3])), labels: [:]) == testDigest([1, 2, 3]))
  }

  @Test func abortBeatsTheOpenWriter() async throws {
    let fixture = try Fixture()
    let store = try fixture.store.content(in: fixture.scope())
    try await fixture.lease("l")
    let old = try await fixture.store.content(in: fixture.scope("l")).writer(ref: "r", expected: IngestExpectation())
    try await old.write([1, 2, 3], at: nil)
    try await store.abort(ref: "r")
    #expect(try await fixture.held(by: "l").isEmpty && fixture.content.refs.isEmpty)
    await expectError(.notFound) { try await old.write([4], at: nil) }
    // A new upload of the same ref is another ingest: the old writer neither disturbs nor ends it.
    let new = try await store.writer(ref: "r", expected: IngestExpectation())
    #expect(try await new.status().offset == 0)
    await expectError(.notFound) { _ = try await old.commit(IngestExpectation(), labels: [:]) }
    await old.close()
    await expectError(.unavailable) { _ = try await store.writer(ref: "r", expected: IngestExpectation()) }
    try await new.write([5], at: nil)
    _ = try await new.commit(IngestExpectation(digest: testDigest([5])), labels: [:])
    #expect(try await fixture.digests() == [testDigest([5])])
    await expectError(.notFound, "ingest ref r") { try await store.abort(ref: "r") }
  }

  @Test func ofAnAbortAndACommitAtTheSameTimeOneSucceeds() async throws {
    let fixture = try Fixture()
    let store = try fixture.store.content(in: fixture.scope())
    let writer = try await store.writer(ref: "r", expected: IngestExpectation())
    try await writer.write([1, 2, 3], at: nil)
    // The abort comes when the backend has begun to make the blob.
    fixture.content.state.withLock { $0.beforeCommit = { try await store.abort(ref: "r") } }
    await expectError(.notFound, "ingest ref r") { _ = try await writer.commit(IngestExpectation(), labels: [:]) }
    #expect(try await fixture.digests().isEmpty)
    #expect(try await store.statuses(.all).isEmpty)
  }

  @Test func aNamespaceHasABlobOnce() async throws {
    let fixture = try Fixture()
    let store = try fixture.store.content(in: fixture.scope())
    let digest = try await fixture.blob("one", labels: ["k": "v"])
    await expectError(.alreadyExists, "content \(digest)") { _ = try await store.writer(ref: "r", expected: IngestExpectation(digest: digest)) }
    let writer = try await store.writer(ref: "r", expected: IngestExpectation())
    try await writer.write(Array("one".utf8), at: nil)
    await expectError(.alreadyExists, "content \(digest)") { _ = try await writer.commit(IngestExpectation(), labels: ["other": "x"]) }
    #expect(try await store.info(digest).labels == ["k": "v"])
    #expect(try await store.statuses(.all).isEmpty && fixture.content.refs.isEmpty)
  }

  @Test func namespacesShareBytesAndNothingElse() async throws {
    let fixture = try Fixture()
    let digest = try await fixture.blob("shared bytes", labels: ["k": "v"], in: "one")
    let written = fixture.content.state.withLock { $0.bytesWritten }
    let two = try fixture.store.content(in: fixture.scope(in: "two"))
    await expectError(.notFound) { _ = try await two.info(digest) }
    await expectError(.notFound) { _ = try await two.reader(digest) }
    await expectError(.notFound) { try await two.delete(digest) }
    let writer = try await two.writer(ref: "r", expected: IngestExpectation(size: 12, digest: digest))
    #expect(try await writer.status().offset == 12)
    #expect(try await writer.digest() == digest)
    await expectError(.unavailable) { _ = try await two.writer(ref: "r", expected: IngestExpectation(digest: digest)) }
    #expect(try await writer.commit(IngestExpectation(size: 12, digest: digest), labels: ["mine": "1"]) == digest)
    #expect(fixture.content.state.withLock { $0.bytesWritten } == written)
    #expect(try await two.info(digest).labels == ["mine": "1"])
    #expect(try await fixture.store.content(in: fixture.scope(in: "one")).info(digest).labels == ["k": "v"])
    // Bytes go when the last name goes.
    try await fixture.store.content(in: fixture.scope(in: "one")).delete(digest)
    _ = try await fixture.image("i", digest, in: "two")
    try await fixture.store.collectGarbage()
    #expect(fixture.content.digests == [digest])
    try await two.delete(digest)
    #expect(fixture.content.digests == [digest])
    try await fixture.store.collectGarbage()
    #expect(fixture.content.digests.isEmpty)
  }

  @Test func aLinkedUploadCanStillBeWritten() async throws {
    let fixture = try Fixture()
    let digest = try await fixture.blob("shared", in: "one")
    let two = try fixture.store.content(in: fixture.scope(in: "two"))
    // A client that ignores the offset starts over.
    let again = try await two.writer(ref: "a", expected: IngestExpectation(digest: digest))
    await expectError(.outOfRange) { try await again.truncate(to: 7) }
    try await again.truncate(to: 0)
    try await again.write(Array("shared".utf8), at: 0)
    #expect(try await again.commit(IngestExpectation(size: 6, digest: digest), labels: [:]) == digest)
    // One that adds gets what it asked for, and learns at the commit that it is not what it expected.
    try await fixture.blob("other", in: "one")
    let longer = try await two.writer(ref: "b", expected: IngestExpectation(digest: testDigest(Array("other".utf8))))
    try await longer.write(Array("wise".utf8), at: 5)
    #expect(try await longer.digest() == testDigest(Array("otherwise".utf8)))
    // Whoever is refused while it is open changes nothing of it.
    let wrong = IngestExpectation(digest: testDigest([9]))
    await expectError(.unavailable, "ref b locked by another writer") { _ = try await two.writer(ref: "b", expected: wrong) }
    #expect(try await two.status(ref: "b").expected == testDigest(Array("other".utf8)))
    await expectError(.failedPrecondition) { _ = try await longer.commit(IngestExpectation(), labels: [:]) }
    // Another size than the blob has is no link at all.
    let sized = try await two.writer(ref: "c", expected: IngestExpectation(size: 99, digest: testDigest(Array("other".utf8))))
    #expect(try await sized.status().offset == 0)
    await sized.close()
  }

  @Test func aLinkedUploadKeepsTheBytesItWaitsFor() async throws {
    let fixture = try Fixture()
    let digest = try await fixture.blob("shared", in: "one")
    let two = try fixture.store.content(in: fixture.scope(in: "two"))
    let writer = try await two.writer(ref: "r", expected: IngestExpectation(digest: digest))
    try await fixture.store.content(in: fixture.scope(in: "one")).delete(digest)
    try await fixture.store.collectGarbage()
    #expect(try await writer.commit(IngestExpectation(digest: digest), labels: [:]) == digest)
    let aborted = try await fixture.store.content(in: fixture.scope(in: "three")).writer(ref: "r", expected: IngestExpectation(digest: digest))
    try await fixture.store.content(in: fixture.scope(in: "three")).abort(ref: "r")
    await expectError(.notFound, "ingest ref r") { _ = try await aborted.commit(IngestExpectation(), labels: [:]) }
  }

  @Test func labelsFiltersAndMasks() async throws {
    let fixture = try Fixture()
    let store = try fixture.store.content(in: fixture.scope())
    let digest = try await fixture.blob("one", labels: ["a": "1", "b": "2"])
    try await fixture.blob("three")
    fixture.clock.advance(1)
    let info = try await store.update(ContentInfo(digest: digest, labels: ["a": "", "c": "3"]), fields: ["labels.a", "labels.c"])
    #expect(info.labels == ["b": "2", "c": "3"] && info.updatedAt > info.createdAt)
    #expect(try await store.info(digest) == info)
    await expectError(.invalidArgument) { _ = try await store.update(ContentInfo(digest: digest), fields: ["size"]) }
    await expectError(.invalidArgument) {
      _ = try await store.update(ContentInfo(digest: digest, labels: ["k": String(repeating: "x", count: 4096)]), fields: ["labels.k"])
    }
    await expectError(.notFound) { _ = try await store.update(ContentInfo(digest: testDigest([9])), fields: .all) }
    let found = Collected<ContentInfo>()
    try await store.walk(FilterSet(parsing: ["size==5", "labels.c==3"])) { await found.append($0) }
    #expect(await found.items.count == 2)
    await expectError(.aborted) { try await store.walk(.all) { _ in throw ContainerdError(.aborted, "enough") } }
  }
}
